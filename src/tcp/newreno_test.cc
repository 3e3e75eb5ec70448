// NewReno, limited transmit, pacing. Method: the steps of RFC 6582 §3.2 and RFC 3042 §2, from
// sequence numbers that wrap; the pace by arithmetic.
#include "tcp/newreno.h"

#include <gtest/gtest.h>

#include "tcp/pacing.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using Action = NewReno::Action;
using std::chrono::milliseconds;
constexpr uint32_t kMss = 100;

TEST(NewReno, RecoversFromTwoLosses) {
  for (const Seq s : kStarts) {
    NewReno r(s, kMss);
    Seq nxt = s + 1000;
    EXPECT_EQ(r.limited_bytes(), 0U);
    EXPECT_EQ(r.on_duplicate(s, nxt), Action::limited);
    EXPECT_EQ(r.limited_bytes(), 100U);
    EXPECT_EQ(r.on_duplicate(s, nxt), Action::limited);
    EXPECT_EQ(r.limited_bytes(), 200U);
    EXPECT_EQ(r.on_duplicate(s, nxt), Action::retransmit);
    EXPECT_EQ(r.limited_bytes(), 0U);
    r.set_ssthresh(500);
    EXPECT_EQ(r.window(), 800U);
    EXPECT_EQ(r.on_duplicate(s, nxt), Action::inflate);
    EXPECT_EQ(r.window(), 900U);
    EXPECT_EQ(r.on_new_ack(s, s + 300), Action::partial);
    EXPECT_EQ(r.window(), 700U) << "less what was acknowledged, and a segment more";
    EXPECT_TRUE(r.first_partial());
    EXPECT_EQ(r.on_new_ack(s + 300, s + 350), Action::partial);
    EXPECT_EQ(r.window(), 650U);
    EXPECT_FALSE(r.first_partial());
    EXPECT_EQ(r.on_new_ack(s + 350, s + 1000), Action::recovered);
    EXPECT_FALSE(r.in_recovery());
  }
}

TEST(NewReno, OldDuplicatesStartNothing) {  // RFC 6582 §3.2 steps 2 and 6
  for (const Seq s : kStarts) {
    NewReno r(s, kMss);
    r.on_timeout(s + 1000);
    for (int i = 0; i < 5; ++i) EXPECT_NE(r.on_duplicate(s + 200, s + 1000), Action::retransmit);
    EXPECT_EQ(r.on_new_ack(s + 200, s + 1100), Action::none);
    EXPECT_EQ(r.on_duplicate(s + 1100, s + 2000), Action::limited);
    EXPECT_EQ(r.on_duplicate(s + 1100, s + 2000), Action::limited);
    EXPECT_EQ(r.on_duplicate(s + 1100, s + 2000), Action::retransmit);
  }
}

TEST(NewReno, ANewAckForgetsDuplicates) {
  const Seq s = kStarts[0];
  NewReno r(s, kMss);
  EXPECT_EQ(r.on_duplicate(s, s + 1000), Action::limited);
  EXPECT_EQ(r.on_duplicate(s, s + 1000), Action::limited);
  EXPECT_EQ(r.on_new_ack(s, s + 100), Action::none);
  EXPECT_EQ(r.on_duplicate(s + 100, s + 1000), Action::limited);
  EXPECT_EQ(r.duplicates(), 1U);
}

TEST(Pacing, LimitsABurst) {
  Pacing pacing({.burst_segments = 2});
  const Instant now{1000};
  pacing.begin_burst();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(pacing.allows(now));
    pacing.on_sent(1000, now, {.cwnd = 10'000, .srtt = milliseconds(10)});
  }
  EXPECT_FALSE(pacing.allows(now));
  pacing.begin_burst();
  EXPECT_TRUE(pacing.allows(now));
}

TEST(Pacing, SpreadsAWindow) {
  Pacing pacing({.timed = true});
  const Instant now{1'000'000'000};
  EXPECT_TRUE(pacing.allows(now));
  // 1000 of 10000 bytes take 1 ms of 10 ms; at 120 % of that rate 833 us, at 200 % 500 us.
  pacing.on_sent(1000, now, {.cwnd = 10'000, .srtt = milliseconds(10)});
  EXPECT_FALSE(pacing.allows(now));
  EXPECT_EQ(pacing.release(), (Instant{1'000'000'000 + 833'333}));
  const Instant later{2'000'000'000};
  pacing.on_sent(1000, later, {.cwnd = 10'000, .srtt = milliseconds(10), .slow_start = true});
  EXPECT_EQ(pacing.release(), (Instant{2'000'000'000 + 500'000}));
  EXPECT_TRUE(pacing.allows(pacing.release()));
}

}  // namespace
}  // namespace paste::tcp
