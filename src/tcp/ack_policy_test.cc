// Goal: an acknowledgement is delayed exactly as far as the RFCs allow. Method: one case a rule.
#include "tcp/ack_policy.h"

#include <gtest/gtest.h>

namespace paste::tcp {
namespace {

constexpr Instant kNow{5'000'000'000};

AckPolicy settled(AckConfig config = {}) {
  config.quick_acks = 0;
  return AckPolicy(config, 1000);
}

TEST(AckPolicy, EverySecondFullSegmentOrTheDeadline) {
  AckPolicy policy = settled();
  EXPECT_FALSE(policy.owed());
  policy.on_segment(kNow, {.payload = 1000});
  EXPECT_FALSE(policy.should_ack_now());
  EXPECT_EQ(policy.deadline(), kNow + std::chrono::milliseconds(40));
  policy.on_segment(kNow + std::chrono::milliseconds(10), {.payload = 999});
  EXPECT_FALSE(policy.should_ack_now());
  EXPECT_EQ(policy.deadline(), kNow + std::chrono::milliseconds(40));
  policy.on_segment(kNow, {.payload = 1});
  EXPECT_TRUE(policy.should_ack_now());
  policy.on_ack_sent();
  EXPECT_FALSE(policy.owed());
  EXPECT_EQ(policy.deadline(), kNever);
}

TEST(AckPolicy, SegmentsSmallerThanOurMssCountAsFull) {
  AckPolicy policy = settled();
  policy.on_segment(kNow, {.payload = 600});
  policy.on_segment(kNow, {.payload = 600});
  EXPECT_TRUE(policy.should_ack_now());
}

TEST(AckPolicy, DelayStaysBelowHalfASecond) {
  AckPolicy policy = settled({.delay = std::chrono::seconds(3)});
  policy.on_segment(kNow, {.payload = 1});
  EXPECT_LT(policy.deadline() - kNow, std::chrono::milliseconds(500));
}

TEST(AckPolicy, AtOnceWhereTheSenderWaitsForIt) {
  for (const Arrival& arrival :
       {Arrival{.payload = 1, .out_of_order = true}, Arrival{.out_of_order = true},
        Arrival{.payload = 1, .fills_gap = true}, Arrival{.fin = true},
        Arrival{.payload = 1, .ce = true}}) {
    AckPolicy policy = settled();
    policy.on_segment(kNow, arrival);
    EXPECT_TRUE(policy.should_ack_now());
  }
  AckPolicy policy = settled();
  policy.on_window_update_needed();
  EXPECT_TRUE(policy.should_ack_now());
  policy.on_ack_sent();
  policy.require_now();
  EXPECT_TRUE(policy.should_ack_now());
  policy.on_ack_sent();
  policy.on_segment(kNow, {});  // a bare acknowledgement is not acknowledged
  EXPECT_FALSE(policy.owed());
}

TEST(AckPolicy, QuickAtTheStart) {
  AckPolicy policy({.quick_acks = 2}, 1000);
  for (int i = 0; i < 3; ++i) {
    policy.on_segment(kNow, {.payload = 10});
    EXPECT_EQ(policy.should_ack_now(), i < 2);
    if (i < 2) policy.on_ack_sent();
  }
  policy.restart_quick_acks();
  policy.on_segment(kNow, {.payload = 10});
  EXPECT_TRUE(policy.should_ack_now());
}

TEST(AckPolicy, EchoesCongestionUntilCwr) {
  AckPolicy policy = settled();
  policy.on_segment(kNow, {.payload = 1, .ce = true});
  EXPECT_TRUE(policy.ece());
  policy.on_ack_sent();
  policy.on_segment(kNow, {.payload = 1});
  EXPECT_TRUE(policy.should_ack_now());  // the mark changed back
  EXPECT_TRUE(policy.ece());
  policy.on_segment(kNow, {.payload = 1, .ce = true, .cwr = true});
  EXPECT_TRUE(policy.ece());
  policy.on_segment(kNow, {.payload = 1, .cwr = true});
  EXPECT_FALSE(policy.ece());
}

}  // namespace
}  // namespace paste::tcp
