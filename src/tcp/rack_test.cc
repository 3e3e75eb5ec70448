// RACK-TLP. Method: flights with given holes and times; what is declared lost, and when.
#include "tcp/rack.h"

#include <gtest/gtest.h>

#include <array>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr uint32_t kMss = 100;

Instant at(int64_t ms) { return Instant{1'000'000'000'000} + milliseconds(ms); }

// A sender whose round trip is 40 ms and whose segments leave one millisecond apart.
class Sender {
 public:
  Sender(Seq start, uint32_t n) : board(64), start_(start), nxt(start + n * kMss) {
    for (uint32_t i = 0; i < n; ++i) {
      EXPECT_TRUE(board.on_sent(start + i * kMss, kMss, at(i)));
    }
  }
  // Segments [first, last) are sacked at `ms`, the cumulative acknowledgement is of `una` segments.
  Rack::Detected ack(int64_t ms, uint32_t una, uint32_t first, uint32_t last, bool dsack = false,
                     bool in_recovery = false) {
    const std::array blocks{SeqRange{start_ + first * kMss, start_ + last * kMss}};
    const std::span<const SeqRange> used(blocks.data(), first < last ? 1 : 0);
    board.on_ack(start_ + una * kMss, nxt, used,
                 [&](const SentRecord& r) { rack.on_delivered(r, at(ms), milliseconds(40)); });
    rack.on_ack({.una = start_ + una * kMss,
                 .nxt = nxt,
                 .dsack = dsack,
                 .in_recovery = in_recovery,
                 .min_rtt = milliseconds(40),
                 .srtt = milliseconds(40)},
                board);
    return rack.detect_losses(board, at(ms));
  }
  Scoreboard board;
  Rack rack;

 private:
  Seq start_;

 public:
  Seq nxt;
};

TEST(Rack, WaitsAQuarterOfTheRoundTrip) {  // RFC 8985 §6.2
  for (const Seq s : kStarts) {
    Sender sender(s, 10);
    const auto first = sender.ack(41, 0, 1, 2);
    EXPECT_EQ(first.lost, 0U);
    // Sent at 0, newest round trip 40, window 40 / 4.
    EXPECT_EQ(first.deadline, at(50));
    EXPECT_EQ(sender.rack.detect_losses(sender.board, at(49)).lost, 0U);
    const auto due = sender.rack.detect_losses(sender.board, at(50));
    EXPECT_EQ(due.lost, 1U);
    EXPECT_EQ(due.deadline, kNever);
    EXPECT_TRUE(sender.board[0].lost);
    EXPECT_EQ(sender.rack.detect_losses(sender.board, at(60)).lost, 0U) << "once";
  }
}

TEST(Rack, ThreeSacksDoNotWait) {
  for (const Seq s : kStarts) {
    Sender sender(s, 10);
    sender.ack(41, 0, 1, 2);
    sender.ack(42, 0, 1, 3);
    const auto third = sender.ack(43, 0, 1, 4);
    EXPECT_EQ(third.lost, 1U) << "RFC 8985 §6.2: DupThresh and no reordering seen";
    EXPECT_EQ(sender.rack.reordering_window(), Duration(0));
  }
}

TEST(Rack, ABurstIsOrderedBySequence) {  // RFC 8985 §6.2 step 2: RACK_sent_after
  for (const Seq s : kStarts) {
    Scoreboard board(8);
    Rack rack;
    for (uint32_t i = 0; i < 6; ++i) ASSERT_TRUE(board.on_sent(s + i * kMss, kMss, at(0)));
    const std::array blocks{SeqRange{s + kMss, s + 4 * kMss}};
    board.on_ack(s, s + 6 * kMss, blocks,
                 [&](const SentRecord& r) { rack.on_delivered(r, at(40), milliseconds(40)); });
    rack.on_ack(
        {.una = s, .nxt = s + 6 * kMss, .min_rtt = milliseconds(40), .srtt = milliseconds(40)},
        board);
    EXPECT_EQ(rack.detect_losses(board, at(40)).lost, 1U);
    EXPECT_TRUE(board[0].lost);
    EXPECT_FALSE(board[4].lost) << "sent after the newest that arrived";
  }
}

TEST(Rack, ReorderingMakesItWait) {
  for (const Seq s : kStarts) {
    Sender sender(s, 10);
    sender.ack(42, 0, 2, 3);
    sender.ack(43, 0, 1, 3);  // segment 1 after segment 2
    EXPECT_TRUE(sender.rack.reordering_seen());
    EXPECT_EQ(sender.ack(44, 0, 1, 5).lost, 0U);
    EXPECT_EQ(sender.rack.reordering_window(), milliseconds(10));
  }
}

TEST(Rack, LostRetransmissionIsFound) {
  for (const Seq s : kStarts) {
    Sender sender(s, 10);
    ASSERT_EQ(sender.ack(44, 0, 1, 5).lost, 1U);
    sender.board.on_retransmitted(0, at(45));
    ASSERT_TRUE(sender.board.on_sent(sender.nxt, kMss, at(46)));
    sender.nxt += kMss;
    const auto again = sender.ack(86, 0, 5, 11, false, true);
    EXPECT_EQ(again.lost, 1U) << "what was sent after the retransmission has arrived";
    EXPECT_EQ(sender.board.next_segment(true).index, 0U);
  }
}

TEST(Rack, AckTooEarlyForARetransmission) {  // RFC 8985 §6.2 step 2
  Sender sender(kStarts[0], 3);
  sender.board.on_retransmitted(0, at(30));
  sender.ack(41, 1, 0, 0);
  EXPECT_EQ(sender.rack.rtt(), Duration(0)) << "11 ms cannot be the retransmission's";
}

TEST(Rack, DuplicatesWidenTheWindow) {  // RFC 8985 §6.2 step 4
  Sender sender(kStarts[1], 10);
  sender.ack(41, 0, 1, 2, true);
  EXPECT_EQ(sender.rack.reordering_window(), milliseconds(20));
  sender.ack(42, 0, 1, 2, true);
  EXPECT_EQ(sender.rack.reordering_window(), milliseconds(20)) << "once in a round trip";
  sender.ack(60, 10, 0, 0);
  sender.ack(61, 10, 0, 0, true);
  EXPECT_EQ(sender.rack.reordering_window(), milliseconds(30));
  for (int i = 0; i < 15; ++i) sender.rack.on_recovery_ended();
  sender.ack(62, 10, 0, 0);
  EXPECT_EQ(sender.rack.reordering_window(), milliseconds(30));
  sender.rack.on_recovery_ended();
  sender.ack(63, 10, 0, 0);
  EXPECT_EQ(sender.rack.reordering_window(), milliseconds(10)) << "sixteen recoveries later";
  for (int i = 0; i < 9; ++i) {
    sender.nxt += kMss;
    sender.ack(64, 10 + static_cast<uint32_t>(i), 0, 0, true);
  }
  EXPECT_LE(sender.rack.reordering_window(), milliseconds(40)) << "SRTT at most";
}

TEST(Rack, TimeoutMarksTheFirstAndTheLate) {  // RFC 8985 §6.3
  Sender sender(kStarts[0], 10);
  sender.ack(41, 1, 0, 0);
  ASSERT_TRUE(sender.board.on_sent(sender.nxt, kMss, at(1000)));
  EXPECT_EQ(sender.rack.mark_losses_on_rto(sender.board, at(1010)), 9U);
  EXPECT_FALSE(sender.board[9].lost) << "sent a moment ago";
}

TEST(TailLossProbe, Deadline) {  // RFC 8985 §7.2
  using Probe = TailLossProbe;
  EXPECT_EQ(Probe::deadline({.now = at(0)}), at(1000));
  EXPECT_EQ(Probe::deadline({.now = at(0), .srtt = milliseconds(50)}), at(100));
  EXPECT_EQ(
      Probe::deadline({.now = at(0), .srtt = milliseconds(50), .one_segment_in_flight = true}),
      at(300));
  EXPECT_EQ(Probe::deadline({.now = at(0),
                             .srtt = milliseconds(50),
                             .one_segment_in_flight = true,
                             .rto_expires = at(250)}),
            at(250));
}

TEST(TailLossProbe, Verdicts) {  // RFC 8985 §7.4.2
  for (const Seq s : kStarts) {
    TailLossProbe probe;
    EXPECT_FALSE(probe.on_ack({.ack = s}));
    probe.on_probe_sent(s + 100, false);
    EXPECT_FALSE(probe.on_ack({.ack = s + 100}));
    EXPECT_FALSE(probe.outstanding()) << "new data: RACK takes over";

    probe.on_probe_sent(s + 100, true);
    EXPECT_FALSE(probe.on_ack({.ack = s}));
    EXPECT_FALSE(probe.on_ack({.ack = s + 100}));
    EXPECT_TRUE(probe.outstanding()) << "either copy may have been acknowledged";
    EXPECT_FALSE(probe.on_ack({.ack = s + 100, .dsack = SeqRange{s, s + 100}}));
    EXPECT_FALSE(probe.outstanding()) << "both arrived";

    probe.on_probe_sent(s + 100, true);
    EXPECT_TRUE(probe.on_ack({.ack = s + 200})) << "it repaired a loss";
    EXPECT_FALSE(probe.outstanding());

    probe.on_probe_sent(s + 100, true);
    EXPECT_FALSE(probe.on_ack({.ack = s + 100, .duplicate = true}));
    EXPECT_FALSE(probe.outstanding());
  }
}

}  // namespace
}  // namespace paste::tcp
