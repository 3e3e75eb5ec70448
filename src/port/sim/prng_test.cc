// The generator. Method: known first outputs of splitmix64 and xoshiro256** from their published
// definitions, computed here by a second, literal transcription; uniformity by counting; forks by
// comparing sequences.
#include "port/sim/prng.h"

#include <gtest/gtest.h>

#include <array>

namespace paste::sim {
namespace {

TEST(Prng, SplitmixMatchesItsPublishedVector) {
  // The first outputs for seed 1234567, as published with the algorithm's test vectors.
  uint64_t counter = 1234567;
  const std::array<uint64_t, 3> expected = {6457827717110365317u, 3203168211198807973u,
                                            9817491932198370423u};
  for (const uint64_t want : expected) {
    counter += 0x9e3779b97f4a7c15;
    EXPECT_EQ(mix(counter), want);
  }
}

TEST(Prng, FollowsTheDescriptionStepByStep) {
  std::array<uint64_t, 4> s{};
  uint64_t counter = 42;
  for (uint64_t& word : s) word = mix(counter += 0x9e3779b97f4a7c15);
  Prng prng(42);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t x = s[1] * 5;
    const uint64_t want = ((x << 7) | (x >> 57)) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    ASSERT_EQ(prng.next(), want) << i;
  }
}

TEST(Prng, BelowStaysBelowAndIsEven) {
  Prng prng(7);
  std::array<int, 10> counts{};
  for (int i = 0; i < 100'000; ++i) ++counts.at(prng.below(10));
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(prng.below(1), 0u);
  // Three quarters of the range: a plain remainder would give the lower third double weight.
  constexpr uint64_t kThreeQuarters = uint64_t{3} << 62;
  int low = 0;
  for (int i = 0; i < 30'000; ++i) low += prng.below(kThreeQuarters) < kThreeQuarters / 3 ? 1 : 0;
  EXPECT_NEAR(low, 10'000, 500);
}

TEST(Prng, BetweenIncludesBothEnds) {
  Prng prng(8);
  std::array<bool, 3> seen{};
  for (int i = 0; i < 100; ++i) seen.at(prng.between(5, 7) - 5) = true;
  EXPECT_TRUE(seen[0] && seen[1] && seen[2]);
  EXPECT_EQ(prng.between(9, 9), 9u);
  EXPECT_NE(prng.between(0, UINT64_MAX), prng.between(0, UINT64_MAX));
}

TEST(Prng, ChanceIsAsRareAsAsked) {
  Prng prng(9);
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) {
    EXPECT_FALSE(prng.chance(0));
    EXPECT_TRUE(prng.chance(kPpm));
    hits += prng.chance(10'000) ? 1 : 0;
  }
  EXPECT_NEAR(hits, 1'000, 150);
}

TEST(Prng, ForksDependOnTheSeedAndTheNameOnly) {
  Prng fresh(11);
  Prng used(11);
  for (int i = 0; i < 5; ++i) (void)used.next();
  EXPECT_EQ(fresh.fork("link").next(), used.fork("link").next());
  EXPECT_NE(fresh.fork("link").next(), fresh.fork("card").next());
  EXPECT_NE(fresh.fork("link").next(), Prng(12).fork("link").next());
  EXPECT_NE(fresh.fork("a").fork("b").next(), fresh.fork("b").fork("a").next());
}

}  // namespace
}  // namespace paste::sim
