// Big-endian integers in byte ranges: how every header of the Internet is laid out.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "paste/units.h"

namespace paste::wire {

using MutableBytes = std::span<std::byte>;

namespace internal {
constexpr uint16_t swap(uint16_t v) noexcept { return __builtin_bswap16(v); }
constexpr uint32_t swap(uint32_t v) noexcept { return __builtin_bswap32(v); }
constexpr uint64_t swap(uint64_t v) noexcept { return __builtin_bswap64(v); }

template <typename T>
[[nodiscard]] constexpr T big_endian(T v) noexcept {
  if constexpr (std::endian::native == std::endian::little) return swap(v);
  return v;
}
template <typename T>
[[nodiscard]] T load(Bytes bytes, size_t at) noexcept {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return big_endian(v);
}
template <typename T>
void store(MutableBytes bytes, size_t at, T v) noexcept {
  v = big_endian(v);
  std::memcpy(bytes.data() + at, &v, sizeof v);
}
}  // namespace internal

// loadN reads, storeN writes the N bits that begin `at` bytes into the range; any alignment.
// REQUIRES: at + N / 8 <= bytes.size(). Not checked here: the parsers check once for many fields.
[[nodiscard]] inline uint8_t load8(Bytes bytes, size_t at) noexcept {
  return std::to_integer<uint8_t>(bytes[at]);
}
[[nodiscard]] inline uint16_t load16(Bytes bytes, size_t at) noexcept {
  return internal::load<uint16_t>(bytes, at);
}
[[nodiscard]] inline uint32_t load32(Bytes bytes, size_t at) noexcept {
  return internal::load<uint32_t>(bytes, at);
}
[[nodiscard]] inline uint64_t load64(Bytes bytes, size_t at) noexcept {
  return internal::load<uint64_t>(bytes, at);
}
inline void store8(MutableBytes bytes, size_t at, uint8_t v) noexcept {
  bytes[at] = static_cast<std::byte>(v);
}
inline void store16(MutableBytes bytes, size_t at, uint16_t v) noexcept {
  internal::store(bytes, at, v);
}
inline void store32(MutableBytes bytes, size_t at, uint32_t v) noexcept {
  internal::store(bytes, at, v);
}
inline void store64(MutableBytes bytes, size_t at, uint64_t v) noexcept {
  internal::store(bytes, at, v);
}

}  // namespace paste::wire
