// Bytes as JSON: a string if they are valid UTF-8, else base64. Piece by piece, because records
// lie in several buffers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace paste::proto {

// Checks UTF-8 (RFC 3629: no surrogates, no overlong forms) across pieces.
class Utf8Checker {
 public:
  // False as soon as the bytes so far cannot be the start of valid text.
  bool add(std::string_view piece) noexcept;
  [[nodiscard]] bool complete() const noexcept { return good_ && need_ == 0; }

 private:
  uint8_t need_ = 0;    // continuation bytes still to come
  uint8_t low_ = 0x80;  // bounds of the next one
  uint8_t high_ = 0xBF;
  bool good_ = true;
};

// Appends the inside of a JSON string. REQUIRES: the pieces together are valid UTF-8.
void append_json_escaped(std::string& out, std::string_view piece);

// Base64 (RFC 4648 §4) across pieces.
class Base64Encoder {
 public:
  void add(std::string& out, std::string_view piece);
  void finish(std::string& out);

 private:
  std::array<uint8_t, 2> carry_{};
  uint8_t carried_ = 0;
};

}  // namespace paste::proto
