// SipHash: a keyed pseudo-random function on short inputs (Aumasson and Bernstein, 2012).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "paste/units.h"

namespace paste::tcp {

// 128 secret bits; injected, as nothing here makes randomness.
struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

// SipHash-2-4 of the bytes.
[[nodiscard]] uint64_t siphash24(const SipKey& key, Bytes bytes) noexcept;
// The same of the words as little-endian bytes, without the handling of a tail.
[[nodiscard]] uint64_t siphash24(const SipKey& key, std::span<const uint64_t> words) noexcept;

}  // namespace paste::tcp
