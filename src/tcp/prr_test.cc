// PRR. Method: recoveries simulated acknowledgement by acknowledgement, with the totals that
// RFC 9937 promises: at the end of a recovery the flight is ssthresh, in the middle no burst.
#include "tcp/prr.h"

#include <gtest/gtest.h>

#include <vector>

namespace paste::tcp {
namespace {
constexpr uint32_t kMss = 1000;

// 100 segments in flight, the first `lost` of them missing, ssthresh of `ssthresh` segments; each
// acknowledgement sacks one segment. Returns the segments sent after each.
std::vector<uint64_t> recover(uint64_t lost, uint64_t ssthresh) {
  Prr prr;
  prr.enter({.flight = 100 * kMss, .sacked = 0, .ssthresh = ssthresh * kMss, .mss = kMss});
  std::vector<uint64_t> sent;
  // The three duplicates that start recovery came before; the losses are all known at once.
  uint64_t pipe = (100 - lost) * kMss;
  for (uint64_t i = 0; i < 100 - lost; ++i) {
    pipe -= kMss;
    const uint64_t n = prr.on_ack({.delivered = kMss, .pipe = pipe, .safe = false}) / kMss * kMss;
    prr.on_sent(n);
    pipe += n;
    sent.push_back(n / kMss);
  }
  return sent;
}

TEST(Prr, SpreadsTheReductionOverTheRoundTrip) {
  // RFC 9937 §3: one loss, ssthresh of 70 %: seven segments for ten acknowledgements.
  const auto sent = recover(1, 70);
  uint64_t total = 0;
  for (size_t i = 0; i < sent.size(); ++i) {
    total += sent[i];
    EXPECT_LE(sent[i], 1U) << "never more than was delivered";
    EXPECT_NEAR(static_cast<double>(total), 0.7 * static_cast<double>(i + 1), 2);
  }
  EXPECT_NEAR(static_cast<double>(total), 70, 1);
}

TEST(Prr, ConservesPacketsBelowTheThreshold) {
  // Forty of a hundred are lost: the flight is below ssthresh at once; one for one is sent.
  for (const uint64_t n : recover(40, 70)) EXPECT_EQ(n, 1U);
}

TEST(Prr, GrowsASegmentPerSafeAck) {
  Prr prr;
  prr.enter({.flight = 20 * kMss, .sacked = 0, .ssthresh = 10 * kMss, .mss = kMss});
  EXPECT_EQ(prr.on_ack({.delivered = kMss, .pipe = 2 * kMss, .safe = false}), 1 * kMss);
  prr.on_sent(kMss);
  EXPECT_EQ(prr.on_ack({.delivered = kMss, .pipe = 2 * kMss, .safe = true}), 2 * kMss);
  prr.on_sent(2 * kMss);
  EXPECT_EQ(prr.on_ack({.delivered = kMss, .pipe = 9 * kMss + 500, .safe = true}), 500U)
      << "not beyond ssthresh";
}

TEST(Prr, TheFirstSegmentIsNeverHeldBack) {
  Prr prr;
  prr.enter({.flight = 100 * kMss, .sacked = 0, .ssthresh = 50 * kMss, .mss = kMss});
  EXPECT_EQ(prr.on_ack({.delivered = 0, .pipe = 99 * kMss, .safe = false}), kMss);
  prr.on_sent(kMss);
  EXPECT_EQ(prr.on_ack({.delivered = 0, .pipe = 99 * kMss, .safe = false}), 0U)
      << "what delivers nothing sends nothing";
}

TEST(Prr, CountsOnlyWhatRecoveryCanDeliver) {  // RFC 9937 §6.1
  Prr prr;
  prr.enter({.flight = 100 * kMss, .sacked = 20 * kMss, .ssthresh = 40 * kMss, .mss = kMss});
  EXPECT_EQ(prr.on_ack({.delivered = 2 * kMss, .pipe = 70 * kMss, .safe = false}), kMss);
  Prr empty;
  empty.enter({.flight = 0, .sacked = 0, .ssthresh = 2 * kMss, .mss = kMss});
  EXPECT_EQ(empty.on_ack({.delivered = 0, .pipe = 0, .safe = false}), kMss);
}

}  // namespace
}  // namespace paste::tcp
