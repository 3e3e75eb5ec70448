// CRC32C (Castagnoli), as in iSCSI (RFC 3720 §12.1), by ISA-L.
#pragma once

#include <cstdint>

#include "paste/units.h"

namespace paste::base {

// The CRC of a byte sequence may be computed piece by piece: extend(extend(kCrcInit, a), b) equals
// extend(kCrcInit, a ++ b). finish() gives the conventional value.
inline constexpr uint32_t kCrcInit = 0xFFFFFFFFu;
[[nodiscard]] uint32_t crc32c_extend(uint32_t state, Bytes bytes) noexcept;
[[nodiscard]] constexpr uint32_t crc32c_finish(uint32_t state) noexcept { return ~state; }

[[nodiscard]] inline uint32_t crc32c(Bytes bytes) noexcept {
  return crc32c_finish(crc32c_extend(kCrcInit, bytes));
}

// Extends by the object representation of a padding-free value.
template <typename T>
[[nodiscard]] uint32_t crc32c_extend_value(uint32_t state, const T& value) noexcept {
  static_assert(__has_unique_object_representations(T));
  return crc32c_extend(state, {reinterpret_cast<const std::byte*>(&value), sizeof value});
}

}  // namespace paste::base
