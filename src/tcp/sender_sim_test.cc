// The sender's parts together. Method: a small sender made of them against a receiver behind a
// link that loses, delays and reorders by a seed, in virtual time. Whatever the link does, all
// bytes arrive, each slice is released once, the counters agree with a recount at every step, and
// no timeout is needed where RACK can see the loss.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "tcp/congestion.h"
#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/rtt.h"
#include "tcp/scoreboard.h"
#include "tcp/send_queue.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr uint32_t kMss = 1000;

struct Link {
  uint32_t loss_percent = 0;
  uint32_t reorder_percent = 0;  // these are late by up to 8 ms
  uint32_t ack_loss_percent = 0;
};

struct Segment {
  SeqRange range;
};
struct AckSegment {
  Seq ack;
  std::vector<SeqRange> blocks;
};

// Receives ranges; acknowledges each at once, with the newest block first and D-SACK.
class Receiver {
 public:
  explicit Receiver(Seq first) : base_(first) {}
  AckSegment receive(SeqRange range) {
    AckSegment ack;
    const uint32_t begin = range.begin.value - base_.value, end = begin + range.length();
    const bool twice = end <= next_ || held_.contains(begin);
    if (twice) ack.blocks.push_back(range);
    if (end > next_ && !twice) held_[begin] = end;
    while (!held_.empty() && held_.begin()->first <= next_) {
      next_ = std::max(next_, held_.begin()->second);
      held_.erase(held_.begin());
    }
    ack.ack = base_ + next_;
    std::vector<SeqRange> runs;
    for (const auto& [b, e] : held_) {
      if (!runs.empty() && runs.back().end == base_ + b) {
        runs.back().end = base_ + e;
      } else {
        runs.push_back({base_ + b, base_ + e});
      }
    }
    // RFC 2018 §4: the block of the segment that has just arrived comes first.
    std::stable_partition(runs.begin(), runs.end(),
                          [&](const SeqRange& r) { return r.contains(range.begin); });
    for (const SeqRange& r : runs) {
      if (ack.blocks.size() < 4) ack.blocks.push_back(r);
    }
    return ack;
  }
  [[nodiscard]] uint32_t received() const { return next_; }

 private:
  Seq base_;
  std::map<uint32_t, uint32_t> held_;
  uint32_t next_ = 0;
};

class Simulation {
 public:
  Simulation(TestRandom& random, Seq start, const Link& link, uint32_t segments)
      : random_(random),
        link_(link),
        receiver_(start),
        queue_(start, 4096),
        board_(512),
        congestion_({}, kMss),
        rtt_({.rto_min = milliseconds(200)}),
        nxt_(start) {
    for (uint32_t i = 0; i < segments; ++i) {
      EXPECT_TRUE(queue_.append({i + 1, 0, kMss}, i));
    }
  }

  void run() {
    send();
    while (!queue_.empty()) {
      ASSERT_LT(now_.ns, Instant{}.ns + 3'600'000'000'000U) << "stalled " << random_.text();
      const Instant event = next_event();
      ASSERT_NE(event, kNever) << "nothing will ever happen " << random_.text();
      now_ = std::max(now_, event);
      step();
      ASSERT_EQ(board_.counts(), board_.recount()) << random_.text();
      ASSERT_EQ(board_.bytes(), nxt_.value - queue_.begin().value) << random_.text();
      send();
    }
  }
  uint32_t timeouts = 0, retransmissions = 0, spurious = 0;
  uint64_t released = 0;
  [[nodiscard]] uint32_t received() const { return receiver_.received(); }
  [[nodiscard]] Instant now() const { return now_; }

 private:
  Instant next_event() const {
    Instant t = std::min(reordering_due_, board_.empty() ? kNever : timeout_due_);
    if (!forward_.empty()) t = std::min(t, forward_.begin()->first);
    if (!backward_.empty()) t = std::min(t, backward_.begin()->first);
    return t;
  }
  void step() {
    if (!forward_.empty() && forward_.begin()->first <= now_) {
      const AckSegment ack = receiver_.receive(forward_.begin()->second.range);
      forward_.erase(forward_.begin());
      if (!random_.chance(link_.ack_loss_percent)) {
        backward_.emplace(now_ + milliseconds(20), ack);
      }
    } else if (!backward_.empty() && backward_.begin()->first <= now_) {
      const AckSegment ack = backward_.begin()->second;
      backward_.erase(backward_.begin());
      on_ack(ack);
    } else if (reordering_due_ <= now_) {
      reordering_due_ = kNever;
      detect(0, false, {});
    } else {
      on_timeout();
    }
  }
  void transmit(SeqRange range) {
    if (random_.chance(link_.loss_percent)) return;
    Duration delay = milliseconds(20);
    if (random_.chance(link_.reorder_percent)) delay += Duration(random_.below(8'000'000));
    link_free_ = std::max(link_free_, now_) + std::chrono::microseconds(50);
    forward_.emplace(link_free_ + delay, Segment{range});
  }
  void arm() { timeout_due_ = now_ + rtt_.rto(); }

  bool send_one() {
    std::array<Slice, 4> slices;
    const bool fresh = nxt_ < queue_.end() && !board_.full();
    const auto next = recovering_ ? board_.next_segment(fresh)
                      : fresh     ? Scoreboard::Next{Scoreboard::Next::Kind::new_data, 0}
                                  : Scoreboard::Next{};
    if (next.kind == Scoreboard::Next::Kind::none) return false;
    const bool is_new = next.kind == Scoreboard::Next::Kind::new_data;
    const Seq begin = is_new ? nxt_ : board_[next.index].begin;
    const uint32_t length = is_new ? kMss : board_[next.index].length;
    EXPECT_EQ(queue_.range(begin, length, slices).bytes, length) << random_.text();
    if (is_new) {
      EXPECT_TRUE(board_.on_sent(begin, length, now_));
      nxt_ += length;
    } else {
      board_.on_retransmitted(next.index, now_);
      ++retransmissions;
      if (next.kind == Scoreboard::Next::Kind::rescue) board_.on_rescued();
    }
    transmit({begin, begin + length});
    prr_.on_sent(length);
    arm();
    return true;
  }
  void send() {
    if (recovering_ && !after_timeout_) {
      while (allowed_ >= kMss && send_one()) allowed_ -= kMss;
      return;
    }
    while (board_.pipe() + kMss <= congestion_.cwnd() && send_one()) {
    }
  }

  void on_ack(const AckSegment& ack) {
    const auto dsack = find_dsack(ack.blocks, ack.ack);
    const Seq before = queue_.begin();
    const uint64_t sacked_before = board_.sacked_bytes();
    const uint32_t flight = nxt_.value - before.value;
    Duration sample{0};
    bool again = false;
    const auto delivered =
        board_.on_ack(max(ack.ack, before), nxt_, ack.blocks, [&](const SentRecord& r) {
          rack_.on_delivered(r, now_, rtt_.min_rtt());
          again = again || r.retransmitted();
          sample = now_ - r.last_sent;
        });
    queue_.acknowledge(ack.ack, [&](Slice s, uint64_t cookie) {
      EXPECT_EQ(s.buffer, cookie + 1);
      EXPECT_EQ(cookie, released) << "in order, once";
      ++released;
    });
    if (again) sample = Duration(0);
    if (sample.count() > 0) rtt_.on_sample({.rtt = sample}, now_);
    if (dsack) ++spurious;
    if (recovering_ && ack.ack >= recovery_point_) {
      recovering_ = after_timeout_ = false;
      board_.on_recovered();
      congestion_.on_recovered(now_);
      rack_.on_recovery_ended();
    }
    if (ack.ack > before) {
      rtt_.on_new_ack();  // with timestamps, no acknowledgement is ambiguous
      arm();
      congestion_.on_ack({.now = now_,
                          .acked_bytes = ack.ack.value - before.value,
                          .rtt = sample,
                          .srtt = rtt_.srtt(),
                          .una = ack.ack,
                          .nxt = nxt_,
                          .in_recovery = recovering_ && !after_timeout_});
    }
    rack_.on_ack({.una = queue_.begin(),
                  .nxt = nxt_,
                  .dsack = dsack.has_value(),
                  .in_recovery = recovering_,
                  .min_rtt = rtt_.min_rtt(),
                  .srtt = rtt_.srtt()},
                 board_);
    detect(delivered.bytes, ack.ack > before,
           {.flight = flight, .sacked = sacked_before, .ssthresh = 0, .mss = kMss});
  }
  void detect(uint64_t delivered, bool advanced, Prr::Entry entry) {
    const auto found = rack_.detect_losses(board_, now_);
    reordering_due_ = found.deadline;
    if (found.lost > 0 && !recovering_) {
      recovering_ = true;
      recovery_point_ = nxt_;
      if (entry.mss == 0) {
        entry = {
            .flight = board_.bytes(), .sacked = board_.sacked_bytes(), .ssthresh = 0, .mss = kMss};
      }
      entry.ssthresh = congestion_.on_loss(now_, nxt_.value - queue_.begin().value);
      prr_.enter(entry);
      allowed_ = 0;
    }
    if (!recovering_ || after_timeout_) return;
    allowed_ = prr_.on_ack(
        {.delivered = delivered, .pipe = board_.pipe(), .safe = advanced && found.lost == 0});
  }
  void on_timeout() {
    ++timeouts;
    const bool first = rtt_.backoff() == 0;
    rtt_.on_timeout();
    congestion_.on_rto(now_, board_.bytes(), first);
    if (board_.reneged()) board_.forget_sacks();
    rack_.mark_losses_on_rto(board_, now_);
    recovering_ = after_timeout_ = true;
    recovery_point_ = nxt_;
    send_one();  // RFC 6298 §5.4: the first segment, whatever pipe says
    arm();
  }

  TestRandom& random_;
  Link link_;
  Receiver receiver_;
  SendQueue queue_;
  Scoreboard board_;
  Congestion congestion_;
  RttEstimator rtt_;
  Rack rack_;
  Prr prr_;
  std::multimap<Instant, Segment> forward_;
  std::multimap<Instant, AckSegment> backward_;
  Instant now_{1'000'000'000};
  Instant link_free_{};
  Instant reordering_due_ = kNever;
  Instant timeout_due_ = kNever;
  Seq nxt_;
  Seq recovery_point_{};
  uint64_t allowed_ = 0;
  bool recovering_ = false;
  bool after_timeout_ = false;
};

TEST(SenderSimulation, CleanLinkNeedsNothing) {
  TestRandom random(1);
  for (const Seq s : kStarts) {
    Simulation sim(random, s, {}, 2000);
    ASSERT_NO_FATAL_FAILURE(sim.run());
    EXPECT_EQ(sim.received(), 2000 * kMss);
    EXPECT_EQ(sim.released, 2000U);
    EXPECT_EQ(sim.retransmissions, 0U);
    EXPECT_EQ(sim.timeouts, 0U);
  }
}

TEST(SenderSimulation, LossIsRepairedMostlyWithoutTimeouts) {
  TestRandom random(2);
  uint32_t timeouts = 0, retransmissions = 0, spurious = 0;
  for (int run = 0; run < 12; ++run) {
    Simulation sim(random, kStarts[run % 3], {.loss_percent = 2}, 1000);
    ASSERT_NO_FATAL_FAILURE(sim.run());
    EXPECT_EQ(sim.received(), 1000 * kMss) << random.text();
    EXPECT_EQ(sim.released, 1000U);
    timeouts += sim.timeouts;
    retransmissions += sim.retransmissions;
    spurious += sim.spurious;
  }
  RecordProperty("timeouts", static_cast<int>(timeouts));
  // 2 % of 12000 segments, and of their repetitions.
  EXPECT_GT(retransmissions, 150U) << random.text();
  EXPECT_LT(retransmissions, 400U) << random.text();
  EXPECT_LT(timeouts, 40U) << random.text();
  EXPECT_LT(spurious, 20U) << random.text();
}

TEST(SenderSimulation, ReorderingIsNotTakenForLossForLong) {
  TestRandom random(3);
  Simulation sim(random, kStarts[0], {.reorder_percent = 20}, 3000);
  ASSERT_NO_FATAL_FAILURE(sim.run());
  EXPECT_EQ(sim.received(), 3000 * kMss);
  EXPECT_LT(sim.retransmissions, 150U) << "RFC 8985 §6.2: the window learns " << random.text();
}

TEST(SenderSimulation, SurvivesTerribleLinks) {
  TestRandom random(4);
  for (int run = 0; run < 30; ++run) {
    const Link link{.loss_percent = random.below(40),
                    .reorder_percent = random.below(50),
                    .ack_loss_percent = random.below(40)};
    Simulation sim(random, kStarts[run % 3], link, 150);
    ASSERT_NO_FATAL_FAILURE(sim.run()) << random.text();
    EXPECT_EQ(sim.received(), 150 * kMss) << random.text();
    EXPECT_EQ(sim.released, 150U) << random.text();
  }
}

}  // namespace
}  // namespace paste::tcp
