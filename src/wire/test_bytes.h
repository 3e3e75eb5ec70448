// What the tests of wire share: bytes in hexadecimal, and generators for random headers.
#pragma once

#include <rapidcheck.h>

#include <array>
#include <string_view>
#include <vector>

#include "wire/address.h"
#include "wire/tcp_options.h"

namespace paste::wire {

using Buffer = std::vector<std::byte>;

// "45 00": two digits for each byte, spaces between them as one likes.
inline Buffer hex(std::string_view text) {
  Buffer bytes;
  int high = -1;
  for (char c : text) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high >= 0) bytes.push_back(static_cast<std::byte>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

inline Buffer join(Buffer a, const Buffer& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A copy that is exactly as long, so that a sanitizer sees any read after it.
inline Buffer head(const Buffer& bytes, size_t length) {
  return Buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
}

inline MacAddress any_mac() {
  return {*rc::gen::container<std::array<uint8_t, 6>>(rc::gen::arbitrary<uint8_t>())};
}
inline IpAddress any_v4() { return IpAddress::from_v4(*rc::gen::arbitrary<uint32_t>()); }
inline IpAddress any_v6() {
  IpAddress made{*rc::gen::container<std::array<uint8_t, 16>>(rc::gen::arbitrary<uint8_t>())};
  made.octets[0] |= 0x20;  // not IPv4-mapped
  return made;
}
inline Buffer any_bytes(size_t most) {
  const auto length = *rc::gen::inRange<size_t>(0, most + 1);
  const auto raw = *rc::gen::container<std::vector<uint8_t>>(length, rc::gen::arbitrary<uint8_t>());
  Buffer bytes;
  for (uint8_t b : raw) bytes.push_back(static_cast<std::byte>(b));
  return bytes;
}

inline TcpOptions any_options() {
  TcpOptions options;
  options.has_mss = *rc::gen::arbitrary<bool>();
  options.has_window_scale = *rc::gen::arbitrary<bool>();
  options.sack_permitted = *rc::gen::arbitrary<bool>();
  options.has_timestamps = *rc::gen::arbitrary<bool>();
  options.sack_count = *rc::gen::inRange<uint8_t>(0, kSackBlocksMax + 1);
  if (options.has_mss) options.mss = *rc::gen::arbitrary<uint16_t>();
  if (options.has_window_scale) options.window_scale = *rc::gen::inRange<uint8_t>(0, 15);
  if (options.has_timestamps) options.timestamp_value = *rc::gen::arbitrary<uint32_t>();
  if (options.has_timestamps) options.timestamp_echo = *rc::gen::arbitrary<uint32_t>();
  for (size_t i = 0; i < options.sack_count; ++i) {
    options.sack[i] = {*rc::gen::arbitrary<uint32_t>(), *rc::gen::arbitrary<uint32_t>()};
  }
  return options;
}

// What a receiver sees of options of which some SACK blocks may not fit.
inline TcpOptions as_sent(TcpOptions options) {
  const size_t fitting = options.sack_fitting();
  for (size_t i = fitting; i < kSackBlocksMax; ++i) options.sack[i] = {};
  options.sack_count = static_cast<uint8_t>(fitting);
  return options;
}

}  // namespace paste::wire
