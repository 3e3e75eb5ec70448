// Goal: quantiles are within 1/32 of the exact ones, for every magnitude.
// Method: random values of random magnitudes against a sorted vector.
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace paste::base {
namespace {

TEST(Histogram, EmptyHasZeroes) {
  Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.quantile(0.99), 0u);
  EXPECT_EQ(h.max(), 0u);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (uint64_t v = 0; v < 32; ++v) h.record(v);
  EXPECT_EQ(h.quantile(0.5), 15u);
  EXPECT_EQ(h.quantile(1), 31u);
}

TEST(Histogram, ExtremesAreAccepted) {
  Histogram h;
  h.record(0);
  h.record(~uint64_t{0});
  EXPECT_EQ(h.quantile(0), 0u);
  EXPECT_EQ(h.quantile(1), ~uint64_t{0});
}

TEST(Histogram, QuantilesWithinOneThirtySecond) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "SEED=" << seed);
  std::mt19937_64 random(seed);
  Histogram h;
  std::vector<uint64_t> exact;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random() >> (random() % 64);
    h.record(value);
    exact.push_back(value);
  }
  std::sort(exact.begin(), exact.end());
  for (double q : {0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const size_t rank = std::max<size_t>(1, static_cast<size_t>(std::ceil(q * 20000)));
    const double want = static_cast<double>(exact[rank - 1]);
    const double got = static_cast<double>(h.quantile(q));
    EXPECT_GE(got, want * (1 - 1e-12));
    EXPECT_LE(got, want * (1 + 1.0 / 32) + 1);
  }
}

TEST(Histogram, AddSums) {
  Histogram a, b;
  a.record(10);
  b.record(1000);
  a.add(b);
  EXPECT_EQ(a.count(), 2u);
  EXPECT_EQ(a.sum(), 1010u);
  EXPECT_EQ(a.max(), 1000u);
  a.clear();
  EXPECT_EQ(a.count(), 0u);
}

}  // namespace
}  // namespace paste::base
