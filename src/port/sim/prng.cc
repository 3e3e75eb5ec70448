#include "port/sim/prng.h"

#include <bit>

#include "base/check.h"

namespace paste::sim {

Prng::Prng(uint64_t seed) noexcept : seed_(seed) {
  uint64_t counter = seed;
  for (uint64_t& word : state_) {
    counter += 0x9e3779b97f4a7c15;
    word = mix(counter);
  }
}

uint64_t Prng::next() noexcept {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Prng::below(uint64_t n) noexcept {
  PASTE_CHECK(n > 0);
  // The first 2^64 mod n values are refused, so that each remainder has equally many left.
  const uint64_t refused = (0 - n) % n;
  uint64_t value = next();
  while (value < refused) value = next();
  return value % n;
}

uint64_t Prng::between(uint64_t first, uint64_t last) noexcept {
  PASTE_CHECK(first <= last);
  const uint64_t span = last - first;
  return span == UINT64_MAX ? next() : first + below(span + 1);
}

bool Prng::chance(uint32_t ppm) noexcept {
  PASTE_CHECK(ppm <= kPpm);
  return below(kPpm) < ppm;
}

Prng Prng::fork(std::string_view name) const noexcept {
  return Prng(mix(seed_ + mix(hash_name(name))));
}

}  // namespace paste::sim
