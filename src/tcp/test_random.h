// A seeded generator for the tests of this module, and the sequence numbers every test begins at.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "tcp/seq.h"

namespace paste::tcp {

// An ordinary number, and just below the wrap of 2^32 and the change of sign at 2^31.
inline constexpr uint32_t kStartNumbers[] = {1000, 0xffffff00U, 0x7fffff00U};
inline constexpr Seq kStarts[] = {Seq{0xffffff00U}, Seq{0x7fffff00U}, Seq{1000}};

// The seed is PASTE_SEED if set; every failure within its scope prints it.
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed)
      : seed_(from_environment(seed)), trace_(__FILE__, __LINE__, text()), engine_(seed_) {}
  // In [0, n).
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(engine_() % n); }
  bool chance(uint32_t percent) { return below(100) < percent; }
  uint64_t word() { return engine_(); }
  [[nodiscard]] std::string text() const { return "PASTE_SEED=" + std::to_string(seed_); }

 private:
  static uint64_t from_environment(uint64_t seed) {
    const char* text = std::getenv("PASTE_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : seed;
  }
  uint64_t seed_;
  testing::ScopedTrace trace_;
  std::mt19937_64 engine_;
};

}  // namespace paste::tcp
