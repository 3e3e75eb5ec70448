// Congestion control. Method: the rules by example, and CUBIC's integers against the closed form of
// RFC 9438 in double, over windows, losses and ages.
#include "tcp/congestion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Algorithm = CongestionOptions::Algorithm;
constexpr uint32_t kMss = 1000;

Instant at(Duration d) { return Instant{1'000'000'000'000} + d; }

// Acknowledges whole windows, round trip by round trip, segment by segment.
class Flow {
 public:
  Flow(const CongestionOptions& options, Seq start, Duration rtt, uint32_t mss = kMss)
      : c(options, mss), una_(start), rtt_(rtt) {}
  void round(bool limited = true) {
    const uint64_t cwnd = c.cwnd();
    const Seq nxt = una_ + static_cast<uint32_t>(cwnd);
    const uint64_t n = cwnd / c.mss();
    for (uint64_t i = 0; i < n; ++i) {
      now += rtt_ / static_cast<int64_t>(n);
      una_ += c.mss();
      c.on_ack({.now = at(now),
                .acked_bytes = c.mss(),
                .rtt = rtt_,
                .srtt = rtt_,
                .una = una_,
                .nxt = nxt,
                .in_recovery = false,
                .cwnd_limited = limited});
    }
  }
  Congestion c;
  Duration now{0};

 private:
  Seq una_;
  Duration rtt_;
};

TEST(Congestion, InitialWindow) {  // RFC 6928 §2
  EXPECT_EQ(Congestion({}, 1460).cwnd(), 14600U);
  EXPECT_EQ(Congestion({}, 536).cwnd(), 5360U);
  EXPECT_EQ(Congestion({}, 8960).cwnd(), 17920U);
  EXPECT_EQ(Congestion({}, 4000).cwnd(), 14600U);
  Congestion lost({}, 1460);
  lost.resume({.cwnd = 1460});
  EXPECT_EQ(lost.cwnd(), 1460U);
}

TEST(Congestion, SlowStartDoublesAndIsLimited) {
  for (const Seq s : kStarts) {
    Flow flow({.hystart = false}, s, milliseconds(50));
    flow.round();
    EXPECT_EQ(flow.c.cwnd(), 20'000U);
    Congestion c({.hystart = false, .slow_start_limit = 8}, kMss);
    c.on_ack({.now = at({}), .acked_bytes = 100'000, .una = s, .nxt = s});
    EXPECT_EQ(c.cwnd(), 18'000U) << "RFC 3465 §2.2: L = 8";
  }
}

TEST(Congestion, RenoByTheBook) {
  Flow flow({.algorithm = Algorithm::reno, .hystart = false}, kStarts[0], milliseconds(50));
  flow.round();
  EXPECT_EQ(flow.c.on_loss(at(flow.now), 20'000), 10'000U);
  EXPECT_EQ(flow.c.cwnd(), 10'000U);
  flow.c.on_recovered(at(flow.now));
  for (uint64_t i = 1; i <= 20; ++i) {
    flow.round();
    EXPECT_EQ(flow.c.cwnd(), 10'000U + i * kMss) << "RFC 5681 §3.1: a segment for each window";
  }
  EXPECT_EQ(flow.c.on_loss(at(flow.now), 1000), 2000U) << "two segments at least";
}

TEST(Congestion, TimeoutHoldsTheThreshold) {  // RFC 5681 §3.1
  for (const auto algorithm : {Algorithm::cubic, Algorithm::reno}) {
    Congestion c({.algorithm = algorithm}, kMss);
    c.on_rto(at({}), 10'000, true);
    const uint64_t ssthresh = algorithm == Algorithm::cubic ? 7000 : 5000;
    EXPECT_EQ(c.ssthresh(), ssthresh);
    EXPECT_EQ(c.cwnd(), kMss);
    c.on_rto(at(seconds(1)), 1000, false);
    EXPECT_EQ(c.ssthresh(), ssthresh);
    c.on_ack({.now = at({}), .acked_bytes = 9000});
    EXPECT_EQ(c.cwnd(), 2 * kMss) << "RFC 3465 §2.3: L = 1 after a timeout";
  }
}

TEST(Congestion, UndoRestores) {
  Flow flow({.hystart = false}, kStarts[1], milliseconds(50));
  flow.round();
  const auto saved = flow.c.save();
  flow.c.on_rto(at(flow.now), 20'000, true);
  flow.c.undo(saved);
  EXPECT_EQ(flow.c.cwnd(), 20'000U);
  EXPECT_EQ(flow.c.ssthresh(), Window::kUnlimited);
  EXPECT_TRUE(flow.c.slow_start());
}

TEST(Congestion, UnusedWindowDoesNotGrow) {  // RFC 7661 §4.4
  Flow flow({}, kStarts[0], milliseconds(50));
  for (int i = 0; i < 5; ++i) flow.round(false);
  EXPECT_EQ(flow.c.cwnd(), 10'000U);
}

TEST(Congestion, RestartAfterIdle) {  // RFC 5681 §4.1
  Flow flow({.hystart = false}, kStarts[0], milliseconds(50));
  for (int i = 0; i < 3; ++i) flow.round();
  ASSERT_EQ(flow.c.cwnd(), 80'000U);
  flow.c.on_idle(at(flow.now + milliseconds(900)), at(flow.now), seconds(1));
  EXPECT_EQ(flow.c.cwnd(), 80'000U);
  flow.c.on_idle(at(flow.now + seconds(2)), at(flow.now), seconds(1));
  EXPECT_EQ(flow.c.cwnd(), 10'000U);
}

TEST(Congestion, ValidationKeepsThenHalves) {  // RFC 7661 §4.4.3
  Flow flow({.idle = CongestionOptions::Idle::validate, .hystart = false}, kStarts[0],
            milliseconds(50));
  for (int i = 0; i < 3; ++i) flow.round();
  ASSERT_EQ(flow.c.cwnd(), 80'000U);
  flow.c.on_idle(at(flow.now + minutes(4)), at(flow.now), seconds(1));
  EXPECT_EQ(flow.c.cwnd(), 80'000U);
  // A trickle: pipeACK falls below half of the window.
  Seq s = kStarts[0] + 500'000;
  for (int i = 0; i < 10; ++i) {
    flow.now += seconds(2);
    s += kMss;
    flow.c.on_ack({.now = at(flow.now),
                   .acked_bytes = kMss,
                   .srtt = milliseconds(50),
                   .una = s,
                   .nxt = s,
                   .cwnd_limited = false});
  }
  flow.c.on_idle(at(flow.now + minutes(6)), at(flow.now), seconds(1));
  EXPECT_EQ(flow.c.cwnd(), 40'000U);
}

TEST(Cubic, CubeRoot) {
  TestRandom random(27);
  for (uint64_t r : {0ULL, 1ULL, 2ULL, 3ULL, 1357ULL, 2642245ULL}) {
    EXPECT_EQ(cube_root(r * r * r), r);
    if (r > 1) {
      EXPECT_EQ(cube_root(r * r * r - 1), r - 1);
    }
  }
  EXPECT_EQ(cube_root(UINT64_MAX), 2642245U);
  for (int i = 0; i < 10000; ++i) {
    const uint64_t n = uint64_t{random.below(UINT32_MAX)} << random.below(32);
    const uint64_t r = cube_root(n);
    ASSERT_LE(r * r * r, n) << random.text();
    ASSERT_TRUE(r == 2642245 || (r + 1) * (r + 1) * (r + 1) > n) << random.text();
  }
}

// RFC 9438 §4.2: after a loss at W the curve starts at 0.7 × W, is flat at W after K seconds.
TEST(Cubic, CurveIsTheClosedForm) {
  for (const uint32_t mss : {536U, 1460U, 8960U, 65535U}) {
    for (const double segments : {20.0, 100.0, 1000.0, 10000.0}) {
      const auto w = static_cast<uint64_t>(segments * mss);
      Window window{.cwnd = w, .ssthresh = w, .mss = mss};
      Cubic cubic;
      window.ssthresh = window.cwnd = cubic.reduce(window, w);
      cubic.avoid(window, {.now = at({}), .acked_bytes = 1, .srtt = milliseconds(1)});
      const double k = std::cbrt(segments * 0.3 / 0.4);
      ASSERT_NEAR(static_cast<double>(cubic.k_ms()), k * 1000, k * 10);
      for (double t = 0; t < 3 * k; t += k / 16) {
        const double expected = (0.4 * std::pow(t - k, 3) + segments) * mss;
        const auto got = static_cast<double>(cubic.w_cubic(static_cast<uint64_t>(t * 1000), mss));
        ASSERT_NEAR(got, expected, expected * 0.01) << mss << ' ' << segments << ' ' << t;
      }
    }
  }
}

TEST(Cubic, WindowFollowsTheCurve) {
  for (const Seq s : kStarts) {
    Flow flow({.hystart = false}, s, milliseconds(100));
    while (flow.c.cwnd() < 1'000'000) flow.round();
    const auto w_max = static_cast<double>(flow.c.cwnd()) / kMss;
    flow.c.on_loss(at(flow.now), flow.c.cwnd());
    flow.c.on_recovered(at(flow.now));
    const double start = static_cast<double>(flow.now.count()) / 1e9;
    const double k = std::cbrt(w_max * 0.3 / 0.4);
    while (true) {
      flow.round();
      const double t = static_cast<double>(flow.now.count()) / 1e9 - start;
      if (t > 2 * k) break;
      const double curve = 0.4 * std::pow(t - k, 3) + w_max;
      // The window lags its target by about a round trip.
      ASSERT_NEAR(static_cast<double>(flow.c.cwnd()) / kMss, curve, curve * 0.03) << t;
    }
  }
}

TEST(Cubic, FriendlyToReno) {  // RFC 9438 §4.3: a short path grows at least as Reno would
  Flow flow({.hystart = false}, kStarts[0], milliseconds(2));
  flow.c.on_loss(at({}), 10'000);
  const double prior = 10, begin = 7;
  double w_est = begin;
  for (int i = 0; i < 100; ++i) {
    flow.round();
    w_est += w_est >= prior ? 1 : 9.0 / 17;
    ASSERT_GT(static_cast<double>(flow.c.cwnd()) / kMss, w_est * 0.93) << i;
    ASSERT_LT(static_cast<double>(flow.c.cwnd()) / kMss, w_est * 1.07) << i;
  }
}

TEST(Cubic, FastConvergence) {  // RFC 9438 §4.7
  Cubic cubic;
  Window window{.cwnd = 100'000, .ssthresh = 100'000, .mss = kMss};
  EXPECT_EQ(cubic.reduce(window, 100'000), 70'000U);
  EXPECT_EQ(cubic.w_max(), 100'000U);
  window.cwnd = 80'000;
  EXPECT_EQ(cubic.reduce(window, 80'000), 56'000U);
  EXPECT_EQ(cubic.w_max(), 68'000U);
}

TEST(Cubic, AppLimitedTimeDoesNotCount) {  // RFC 9438 §5.8
  Flow busy({.hystart = false}, kStarts[0], milliseconds(100));
  Flow lazy({.hystart = false}, kStarts[0], milliseconds(100));
  for (Flow* f : {&busy, &lazy}) {
    f->c.on_loss(at({}), 10'000);
    for (int i = 0; i < 5; ++i) f->round();
  }
  for (int i = 0; i < 100; ++i) lazy.round(false);
  for (Flow* f : {&busy, &lazy}) f->round();
  EXPECT_NEAR(static_cast<double>(lazy.c.cwnd()), static_cast<double>(busy.c.cwnd()), kMss);
}

TEST(Cubic, APauseThatBeganBeforeTheEpoch) {
  Cubic cubic;
  Window window{.cwnd = 100'000, .ssthresh = 100'000, .mss = kMss};
  window.ssthresh = window.cwnd = cubic.reduce(window, 100'000);
  const auto ack = [](Duration t) {
    return AckEvent{.now = at(t), .acked_bytes = kMss, .srtt = milliseconds(10)};
  };
  cubic.avoid(window, ack(milliseconds(100)));
  cubic.on_app_limited(at(milliseconds(50)));
  const uint64_t before = window.cwnd;
  cubic.avoid(window, ack(seconds(60)));
  EXPECT_LT(window.cwnd, before + 50) << "the curve is where it was";
}

TEST(Congestion, BoundsHoldWhateverHappens) {
  TestRandom random(5681);
  for (int run = 0; run < 300; ++run) {
    const uint32_t mss = 1 + random.below(65535);
    Congestion c({.algorithm = random.chance(50) ? Algorithm::cubic : Algorithm::reno,
                  .idle = random.chance(50) ? CongestionOptions::Idle::restart
                                            : CongestionOptions::Idle::validate},
                 mss);
    Duration now{0};
    Seq una = kStarts[run % 3];
    for (int i = 0; i < 300; ++i) {
      now += Duration(random.below(1U << random.below(31)));
      const uint64_t flight = random.below(static_cast<uint32_t>(c.cwnd()) + 1);
      switch (random.below(12)) {
        case 0:
          c.on_loss(at(now), flight);
          break;
        case 1:
          c.on_rto(at(now), flight, random.chance(50));
          break;
        case 2:
          c.on_recovered(at(now));
          break;
        case 3:
          c.on_idle(at(now), at(now - Duration(random.below(2'000'000'000))), seconds(1));
          break;
        default:
          una += static_cast<uint32_t>(flight);
          c.on_ack({.now = at(now),
                    .acked_bytes = flight,
                    .rtt = Duration(random.below(1U << 28)),
                    .srtt = Duration(random.below(1U << 28)),
                    .una = una,
                    .nxt = una + random.below(1U << 20),
                    .cwnd_limited = random.chance(80)});
      }
      ASSERT_GE(c.cwnd(), mss) << random.text();
      ASSERT_LE(c.cwnd(), Window::kUnlimited) << random.text();
      ASSERT_GE(c.ssthresh(), 2 * mss) << random.text();
    }
  }
}

}  // namespace
}  // namespace paste::tcp
