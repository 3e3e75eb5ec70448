// A parsed HTTP/1.1 request head, and the small texts inside it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace paste::proto {

enum class Method : uint8_t { get, head, post, put, delete_, options, other };
[[nodiscard]] std::string_view to_string(Method method) noexcept;

// Views point into the text that was parsed.
// Invariant: at most one of content_length and chunked; path starts with '/' or is "*".
struct HttpRequest {
  Method method = Method::other;
  bool http11 = false;
  bool keep_alive = false;
  bool chunked = false;
  bool expect_continue = false;
  bool has_host = false;
  std::optional<uint64_t> content_length;
  std::string_view path;    // as sent, without the query
  std::string_view query;   // as sent, behind '?'
  std::string_view accept;  // the first Accept line; empty if there is none

  [[nodiscard]] bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
};

// status 0: no error. `reason` is a static sentence for people.
struct HttpError {
  uint16_t status = 0;
  const char* reason = "";
  explicit operator bool() const noexcept { return status != 0; }
};

// Parses one whole head: request line, fields, and the empty line, nothing behind it.
// Errors: 400 malformed, 417 unknown expectation, 501 unknown transfer coding, 505 other versions.
// On error `request` is unspecified. Allocates nothing.
[[nodiscard]] HttpError parse_head(std::string_view head, HttpRequest& request);

// A short decoded text: names and numbers of this server all fit.
struct DecodedText {
  static constexpr size_t kBytesMax = 128;
  std::array<char, kBytesMax> bytes;
  size_t length = 0;
  [[nodiscard]] std::string_view view() const noexcept { return {bytes.data(), length}; }
};

// Replaces %XX by its byte, and '+' by a space where `plus_is_space`.
// False if an escape is incomplete or the result is longer than kBytesMax.
[[nodiscard]] bool percent_decode(std::string_view text, bool plus_is_space, DecodedText& out);

enum class QueryResult : uint8_t { absent, present, malformed };
// The decoded value of the first `name` in "a=1&b=2"; `name` without '=' has the empty value.
[[nodiscard]] QueryResult query_value(std::string_view query, std::string_view name,
                                      DecodedText& out);
// The same for a decimal number; `value` is untouched unless present.
[[nodiscard]] QueryResult query_number(std::string_view query, std::string_view name,
                                       uint64_t& value);

}  // namespace paste::proto
