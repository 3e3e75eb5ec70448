// The chunked transfer coding (RFC 9112 §7.1), byte by byte, so that any split of the input gives
// the same data. Extensions and trailers are checked for their line ends, bounded, and dropped.
#pragma once

#include <cstdint>
#include <string_view>

#include "proto/http_request.h"

namespace paste::proto {

class ChunkedDecoder {
 public:
  static constexpr uint32_t kLineBytesMax = 256;  // chunk size line with its extensions

  enum class Step : uint8_t { need_more, data, end, error };

  // `body_bytes_max`: of the decoded body: 413. `trailer_bytes_max`: of all trailers: 431.
  void start(uint64_t body_bytes_max, uint32_t trailer_bytes_max) noexcept;

  // Takes `used` bytes from `input`. data: `data()` lies inside `input` and is not empty.
  // need_more: all of `input` was taken. end: the message ends behind the used bytes.
  // REQUIRES: start() was called, and no end or error was returned since.
  Step decode(std::string_view input, size_t& used) noexcept;

  [[nodiscard]] std::string_view data() const noexcept { return data_; }
  [[nodiscard]] const HttpError& error() const noexcept { return error_; }

 private:
  enum class State : uint8_t {
    size,          // hexadecimal digits
    extension,     // up to CR
    size_lf,       // LF behind the size line
    data,          // remain_ bytes
    data_cr,       // CR behind the data
    data_lf,       // LF behind the data
    trailer,       // first byte of a trailer line
    trailer_line,  // inside a trailer line
    trailer_lf,    // LF of a trailer line
    end_lf,        // LF of the last, empty line
  };
  Step fail(uint16_t status, const char* reason) noexcept;
  // False on error.
  bool take_size(char c) noexcept;
  bool take_size_end() noexcept;
  bool take_trailer(char c) noexcept;

  uint64_t remain_ = 0;  // of this chunk; while in State::size, the number read so far
  uint64_t body_left_ = 0;
  uint32_t trailer_left_ = 0;
  uint16_t line_ = 0;  // bytes of the size line so far
  State state_ = State::size;
  bool last_ = false;  // the chunk of size 0 was seen
  HttpError error_;
  std::string_view data_;
};

}  // namespace paste::proto
