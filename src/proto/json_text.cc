#include "proto/json_text.h"

#include <cstring>

namespace paste::proto {

bool Utf8Checker::add(std::string_view piece) noexcept {
  size_t i = 0;
  while (i < piece.size() && good_) {
    if (need_ == 0) {
      // Eight ASCII bytes at a time: most records are text.
      for (uint64_t word; i + 8 <= piece.size(); i += 8) {
        std::memcpy(&word, piece.data() + i, 8);
        if ((word & 0x8080808080808080ull) != 0) break;
      }
      if (i == piece.size()) break;
    }
    const auto c = static_cast<uint8_t>(piece[i++]);
    if (need_ != 0) {
      good_ = c >= low_ && c <= high_;
      --need_;
      low_ = 0x80;
      high_ = 0xBF;
    } else if (c >= 0x80) {
      // RFC 3629 §4.
      if (c >= 0xC2 && c <= 0xDF) {
        need_ = 1;
      } else if (c >= 0xE0 && c <= 0xEF) {
        need_ = 2;
        if (c == 0xE0) low_ = 0xA0;
        if (c == 0xED) high_ = 0x9F;
      } else if (c >= 0xF0 && c <= 0xF4) {
        need_ = 3;
        if (c == 0xF0) low_ = 0x90;
        if (c == 0xF4) high_ = 0x8F;
      } else {
        good_ = false;
      }
    }
  }
  return good_;
}

void append_json_escaped(std::string& out, std::string_view piece) {
  static constexpr char kHex[] = "0123456789abcdef";
  size_t plain = 0;
  for (size_t i = 0; i < piece.size(); ++i) {
    const auto c = static_cast<uint8_t>(piece[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(piece.substr(plain, i - plain));
    plain = i + 1;
    out += '\\';
    switch (c) {
      case '"':
        out += '"';
        break;
      case '\\':
        out += '\\';
        break;
      case '\n':
        out += 'n';
        break;
      case '\r':
        out += 'r';
        break;
      case '\t':
        out += 't';
        break;
      default:
        out += "u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(piece.substr(plain));
}

namespace {
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void append_group(std::string& out, uint32_t bits) {
  const char text[4] = {kAlphabet[bits >> 18], kAlphabet[(bits >> 12) & 63],
                        kAlphabet[(bits >> 6) & 63], kAlphabet[bits & 63]};
  out.append(text, 4);
}
}  // namespace

void Base64Encoder::add(std::string& out, std::string_view piece) {
  for (const char raw : piece) {
    const auto c = static_cast<uint8_t>(raw);
    if (carried_ < 2) {
      carry_[carried_++] = c;
      continue;
    }
    append_group(out, uint32_t{carry_[0]} << 16 | uint32_t{carry_[1]} << 8 | c);
    carried_ = 0;
  }
}

void Base64Encoder::finish(std::string& out) {
  if (carried_ != 0) {
    const uint32_t second = carried_ == 2 ? carry_[1] : 0u;
    append_group(out, uint32_t{carry_[0]} << 16 | second << 8);
    out.back() = '=';
    if (carried_ == 1) out[out.size() - 2] = '=';
  }
  carried_ = 0;
}

}  // namespace paste::proto
