// Response heads and chunk frames, appended to a text that the caller keeps and reuses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace paste::proto {

// "OK", "Not Found"; empty for statuses that this server never sends.
[[nodiscard]] std::string_view reason_phrase(uint16_t status) noexcept;

// What follows the status line depends on who asked.
struct ResponseStyle {
  bool http11 = true;      // false: "Connection: keep-alive" has to be said
  bool keep_alive = true;  // false: "Connection: close" is said
};

struct ResponseHead {
  uint16_t status = 200;
  std::string_view content_type{};           // empty: none is sent
  std::optional<uint64_t> content_length{};  // nothing: chunked, or up to the close in HTTP/1.0
  std::string_view fields{};                 // further whole lines, each with its CR LF
};

void append_decimal(std::string& out, uint64_t value);
void append_head(std::string& out, const ResponseHead& head, ResponseStyle style);
// The shortest whole response: status 200, no type.
void append_small(std::string& out, std::string_view body, ResponseStyle style);
// "1f4\r\n"; the caller adds the bytes and then "\r\n". REQUIRES: bytes > 0.
void append_chunk_size(std::string& out, uint64_t bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace paste::proto
