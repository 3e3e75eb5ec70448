// Requests out of a stream of byte ranges, in place.
//
// A head that lies in one range is parsed where it is; one that is cut is collected in a scratch
// of at most header_bytes_max, allocated only then. Body bytes are handed on as parts of the
// ranges given in, never copied. The outcome depends on the bytes alone, not on how they are cut.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/chunked_decoder.h"
#include "proto/http_request.h"

namespace paste::proto {

struct HttpParserLimits {
  uint32_t header_bytes_max = 16 * 1024;  // request line, fields and the empty line: 431
  uint64_t body_bytes_max = UINT64_MAX;   // decoded: 413
};

class HttpParser {
 public:
  enum class Step : uint8_t {
    need_more,  // all of the input was taken
    header,     // request() is complete; body or end follows, also with an empty input
    body,       // body() is the next part of the body, inside the input
    end,        // the request is complete; the next byte starts another
    error,      // error() says which; the parser is of no further use
  };

  explicit HttpParser(const HttpParserLimits& limits) noexcept : limits_(limits) {}

  // Advances by one step, taking `used` bytes from the front of `input`. Call it with the rest of
  // the input until it returns need_more or error.
  Step parse(std::string_view input, size_t& used);

  // Valid from Step::header until the memory of that input changes or the next request begins.
  [[nodiscard]] const HttpRequest& request() const noexcept { return request_; }
  [[nodiscard]] std::string_view body() const noexcept { return body_; }
  [[nodiscard]] const HttpError& error() const noexcept { return error_; }

  // No byte of a request has been taken since the last end.
  [[nodiscard]] bool idle() const noexcept { return state_ == State::idle; }
  // Bytes of a head were taken, the rest is missing.
  [[nodiscard]] bool in_header() const noexcept { return state_ == State::head; }
  // Gives the scratch back, if no request is in it. For connections that stay idle.
  void trim() noexcept;

 private:
  enum class State : uint8_t { idle, head, body_length, body_chunked, finished, failed };
  enum class Scan : uint8_t { more, complete, failed };

  static constexpr uint8_t kEmptyLinesMax = 4;  // in front of a request
  // A longer head is parsed each time: idle connections keep their last one.
  static constexpr size_t kRememberedMax = 512;

  Step fail(HttpError error) noexcept;
  // Takes CR LF in front of a request (RFC 9112 §2.2). False on error.
  bool skip_empty_lines(std::string_view input, size_t& used) noexcept;
  Step parse_idle(std::string_view input, size_t& used);
  Step parse_scratch(std::string_view input, size_t& used);
  Step parse_body_length(std::string_view input, size_t& used) noexcept;
  Step parse_body_chunked(std::string_view input, size_t& used) noexcept;
  // Looks for the empty line from where the last call stopped; *end is the length of the head.
  Scan scan(std::string_view head, size_t* end) noexcept;
  // A connection mostly sends the same head again; then request_ stands already. A head ends with
  // its first empty line, so whatever begins with a whole head has exactly that head.
  [[nodiscard]] bool repeats_head(std::string_view text) const noexcept;
  Step finish_head(std::string_view head);
  Step begin_body();

  HttpParserLimits limits_;
  State state_ = State::idle;
  bool empty_line_cr_ = false;  // a CR in front of a request was taken
  uint8_t empty_lines_ = 0;
  uint32_t line_start_ = 0;  // scan(): where the current line begins
  uint32_t scanned_ = 0;     // scan(): everything before was looked at
  uint64_t body_left_ = 0;
  HttpRequest request_;
  HttpError error_;
  std::string_view body_;
  ChunkedDecoder chunks_;
  std::string scratch_;
  std::string last_head_;  // request_ points into it
};
static_assert(sizeof(HttpParser) <= 400, "idle connections are many");

}  // namespace paste::proto
