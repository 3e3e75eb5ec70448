// The simulation's randomness: integers only, the same on every machine, named by one seed.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace paste::sim {

inline constexpr uint32_t kPpm = 1'000'000;  // probabilities are parts per million

// xoshiro256** (Blackman and Vigna), its state filled by splitmix64 from the seed.
class Prng {
 public:
  explicit Prng(uint64_t seed) noexcept;

  // 64 uniformly random bits.
  uint64_t next() noexcept;
  // Uniform in [0, n), without the bias of a plain remainder. REQUIRES: n > 0.
  uint64_t below(uint64_t n) noexcept;
  // Uniform in [first, last], both included. REQUIRES: first <= last.
  uint64_t between(uint64_t first, uint64_t last) noexcept;
  // True with probability ppm / 1'000'000. REQUIRES: ppm <= kPpm.
  bool chance(uint32_t ppm) noexcept;

  // A generator for the component called `name`. It depends on this one's seed and the name only,
  // never on what was drawn: a component added elsewhere changes nobody's draws.
  [[nodiscard]] Prng fork(std::string_view name) const noexcept;

  [[nodiscard]] uint64_t seed() const noexcept { return seed_; }

 private:
  std::array<uint64_t, 4> state_;
  uint64_t seed_;
};

// A bijection of 64 bits in which every input bit reaches every output bit (splitmix64's last
// step): for trace hashes and derived seeds.
[[nodiscard]] constexpr uint64_t mix(uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// FNV-1a, so that a name's value is its characters and never its address.
[[nodiscard]] constexpr uint64_t hash_name(std::string_view name) noexcept {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace paste::sim
