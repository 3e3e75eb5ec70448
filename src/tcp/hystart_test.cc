// HyStart++. Method: traces of round trip times, round by round, from sequence numbers that wrap.
#include "tcp/hystart.h"

#include <gtest/gtest.h>

#include "tcp/congestion.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using std::chrono::milliseconds;
using Growth = HyStart::Growth;

class Trace {
 public:
  explicit Trace(Seq start) : una_(start) {}
  // One round of `samples` acknowledgements; the growth after the last.
  Growth round(Duration rtt, uint32_t samples = 10) {
    const Seq nxt = una_ + samples * 100;
    Growth growth{};
    for (uint32_t i = 0; i < samples; ++i) {
      una_ += 100;
      // What is sent in response ends the next round.
      growth = hystart_.on_ack(una_, nxt + (i + 1 == samples ? samples * 100 : 0), rtt);
      if (growth == Growth::leave) break;
    }
    return growth;
  }
  HyStart hystart_;
  Seq una_;
};

TEST(HyStart, SteadyDelayIsFullSpeed) {
  for (const Seq s : kStarts) {
    Trace trace(s);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(trace.round(milliseconds(100)), Growth::full);
  }
}

TEST(HyStart, LeavesAfterFiveRounds) {  // RFC 9406 §4.2
  for (const Seq s : kStarts) {
    Trace trace(s);
    trace.round(milliseconds(80));
    trace.round(milliseconds(80));
    EXPECT_EQ(trace.round(milliseconds(89)), Growth::full) << "below 80 + 80 / 8";
    trace.round(milliseconds(80));
    EXPECT_EQ(trace.round(milliseconds(90)), Growth::divided);
    for (uint32_t i = 2; i < HyStart::kCssRounds; ++i) {
      EXPECT_EQ(trace.round(milliseconds(95)), Growth::divided) << i;
    }
    EXPECT_EQ(trace.round(milliseconds(95)), Growth::leave);
  }
}

TEST(HyStart, ResumesIfTheDelayFalls) {
  Trace trace(kStarts[0]);
  trace.round(milliseconds(80));
  trace.round(milliseconds(80));
  ASSERT_EQ(trace.round(milliseconds(120)), Growth::divided);
  EXPECT_EQ(trace.round(milliseconds(80)), Growth::full);
  EXPECT_FALSE(trace.hystart_.conservative());
}

TEST(HyStart, ThresholdsAreClamped) {
  const auto entered = [](Duration before, Duration after) {
    Trace trace(kStarts[1]);
    trace.round(before);
    trace.round(before);
    return trace.round(after) == Growth::divided;
  };
  EXPECT_FALSE(entered(milliseconds(1), milliseconds(4)));
  EXPECT_TRUE(entered(milliseconds(1), milliseconds(5)));
  EXPECT_FALSE(entered(milliseconds(800), milliseconds(815)));
  EXPECT_TRUE(entered(milliseconds(800), milliseconds(816)));
}

TEST(HyStart, FewSamplesProveNothing) {  // N_RTT_SAMPLE
  Trace trace(kStarts[2]);
  trace.round(milliseconds(80));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(trace.round(milliseconds(80 + 40 * i), 7), Growth::full);
}

TEST(HyStart, StopsSlowStartWithoutALoss) {
  Congestion c({}, 1000);
  Seq una = kStarts[0];
  uint64_t now = 0;
  int64_t rtt_ms = 50;
  for (int round = 0; round < 12 && c.slow_start(); ++round, rtt_ms += round > 4 ? 20 : 0) {
    const uint64_t cwnd = c.cwnd();
    const Seq end = una + static_cast<uint32_t>(cwnd);
    while (una < end && c.slow_start()) {
      una += 1000;
      c.on_ack({.now = Instant{now += 1000},
                .acked_bytes = 1000,
                .rtt = milliseconds(rtt_ms),
                .srtt = milliseconds(rtt_ms),
                .una = una,
                .nxt = una + static_cast<uint32_t>(c.cwnd())});
    }
  }
  EXPECT_FALSE(c.slow_start());
  EXPECT_EQ(c.ssthresh(), c.cwnd());
  EXPECT_LT(c.ssthresh(), Window::kUnlimited);
}

}  // namespace
}  // namespace paste::tcp
