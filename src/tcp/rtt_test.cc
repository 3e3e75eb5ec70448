// Round-trip estimation. Method: the integer estimator against the same formulas in long double
// over random samples, and each rule of RFC 6298 by an example.
#include "tcp/rtt.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

Instant at(Duration d) { return Instant{1'000'000'000'000} + d; }

TEST(Rtt, StartsWithOneSecond) {  // RFC 6298 §2.1
  const RttEstimator rtt;
  EXPECT_EQ(rtt.rto(), seconds(1));
  EXPECT_FALSE(rtt.measured());
  EXPECT_EQ(rtt.min_rtt(), Duration(0));
}

TEST(Rtt, FirstSample) {  // RFC 6298 §2.2: SRTT = R, RTTVAR = R / 2, RTO = R + 4 × R / 2
  RttEstimator rtt;
  rtt.on_sample({.rtt = milliseconds(800)}, at({}));
  EXPECT_EQ(rtt.srtt(), milliseconds(800));
  EXPECT_EQ(rtt.rttvar(), milliseconds(400));
  EXPECT_EQ(rtt.rto(), milliseconds(2400));
}

TEST(Rtt, SecondSample) {  // RFC 6298 §2.3, in this order: RTTVAR from the old SRTT
  RttEstimator rtt;
  rtt.on_sample({.rtt = milliseconds(800)}, at({}));
  rtt.on_sample({.rtt = milliseconds(1600)}, at({}));
  EXPECT_EQ(rtt.rttvar(), milliseconds(500));  // 3/4 × 400 + 1/4 × 800
  EXPECT_EQ(rtt.srtt(), milliseconds(900));    // 7/8 × 800 + 1/8 × 1600
  EXPECT_EQ(rtt.rto(), milliseconds(2900));
}

TEST(Rtt, FloorCapAndGranularity) {
  RttEstimator normal, fast({.rto_min = milliseconds(200)}), open({.rto_min = Duration(0)});
  for (int i = 0; i < 200; ++i) {
    for (RttEstimator* r : {&normal, &fast, &open}) r->on_sample({.rtt = milliseconds(10)}, at({}));
  }
  EXPECT_EQ(normal.rto(), seconds(1));  // RFC 6298 §2.4
  EXPECT_EQ(fast.rto(), milliseconds(200));
  EXPECT_EQ(open.rto(), milliseconds(11));  // RFC 6298 §2.3: SRTT + G
  normal.on_sample({.rtt = seconds(100)}, at({}));
  EXPECT_EQ(normal.rto(), seconds(60));  // RFC 6298 §2.5
}

TEST(Rtt, BackOffDoublesAndCollapses) {  // RFC 6298 §5.5
  RttEstimator rtt;
  const int expected[] = {2, 4, 8, 16, 32, 60, 60, 60};
  for (const int s : expected) {
    rtt.on_timeout();
    EXPECT_EQ(rtt.rto(), seconds(s));
  }
  rtt.on_sample({.rtt = milliseconds(5), .ambiguous = true}, at({}));
  EXPECT_EQ(rtt.rto(), seconds(60)) << "RFC 6298 §3: a sample of a retransmission counts not";
  EXPECT_FALSE(rtt.measured());
  rtt.on_new_ack();
  EXPECT_EQ(rtt.rto(), seconds(1));
  rtt.on_timeout();
  rtt.on_sample({.rtt = milliseconds(5)}, at({}));
  EXPECT_EQ(rtt.rto(), seconds(1));
  EXPECT_EQ(rtt.backoff(), 0U);
}

TEST(Rtt, LostSynMeansThreeSeconds) {  // RFC 6298 §5.7
  RttEstimator rtt;
  rtt.on_timeout();
  rtt.on_syn_was_retransmitted();
  EXPECT_EQ(rtt.rto(), seconds(3));
  rtt.on_sample({.rtt = milliseconds(5)}, at({}));
  EXPECT_EQ(rtt.rto(), seconds(1));
}

TEST(Rtt, ManySamplesCoverAsMuchTime) {  // RFC 7323 §4.2
  EXPECT_EQ(expected_samples(0, 1000), 1U);
  EXPECT_EQ(expected_samples(2000, 1000), 1U);
  EXPECT_EQ(expected_samples(2001, 1000), 2U);
  EXPECT_EQ(expected_samples(200'000, 1000), 100U);
  // One jump of the delay: 100 weighted samples move the estimate about as far as one does.
  RttEstimator one, many;
  one.on_sample({.rtt = milliseconds(100)}, at({}));
  many.on_sample({.rtt = milliseconds(100)}, at({}));
  one.on_sample({.rtt = milliseconds(200)}, at({}));
  for (int i = 0; i < 100; ++i) many.on_sample({.rtt = milliseconds(200), .expected = 100}, at({}));
  EXPECT_NEAR(static_cast<double>(many.srtt().count()), static_cast<double>(one.srtt().count()),
              1e6);
}

TEST(Rtt, MatchesTheFormulas) {
  TestRandom random(6298);
  for (int run = 0; run < 200; ++run) {
    RttEstimator rtt({.rto_min = Duration(0)});
    long double srtt = 0, var = 0;
    const uint32_t scale = 1U << (10 + random.below(20));  // from microseconds to a second
    for (int i = 0; i < 100; ++i) {
      const uint32_t ns = 1000 + random.below(scale);
      const uint32_t n = random.chance(50) ? 1 : 1 + random.below(40);
      rtt.on_sample({.rtt = Duration(ns), .expected = n}, at({}));
      const long double r = ns;
      if (i == 0) {
        srtt = r;
        var = r / 2;
      } else {
        var = (1 - 0.25L / n) * var + 0.25L / n * std::fabs(srtt - r);
        srtt = (1 - 0.125L / n) * srtt + 0.125L / n * r;
      }
      const long double rto = srtt + std::fmax(1e6L, 4 * var);
      ASSERT_NEAR(static_cast<double>(rtt.srtt().count()), static_cast<double>(srtt), 400)
          << random.text();
      ASSERT_NEAR(static_cast<double>(rtt.rto().count()), static_cast<double>(rto), 1500)
          << random.text();
    }
  }
}

TEST(Rtt, MinimumForgets) {
  WindowedMin min;
  const Duration window = minutes(5);
  EXPECT_TRUE(min.empty());
  min.add(milliseconds(10), at({}), window);
  min.add(milliseconds(30), at(minutes(1)), window);
  EXPECT_EQ(min.get(), milliseconds(10));
  min.add(milliseconds(20), at(minutes(3)), window);
  EXPECT_EQ(min.get(), milliseconds(10));
  min.add(milliseconds(25), at(minutes(6)), window);
  EXPECT_EQ(min.get(), milliseconds(20)) << "the first sample is out of the window";
  min.add(milliseconds(50), at(minutes(60)), window);
  EXPECT_EQ(min.get(), milliseconds(50));
}

}  // namespace
}  // namespace paste::tcp
