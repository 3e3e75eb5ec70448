// Goal: the window promises no more than there is room for, keeps every promise, and is not silly.
// Method: tables of the acceptability test and of trimming; random traffic whose right edge is
// watched; sequence numbers start just below both wraps.
#include "tcp/receive_window.h"

#include "tcp/test_random.h"
#include "tcp/timestamps.h"

namespace paste::tcp {
namespace {

constexpr Room kPlenty{1 << 30, 1 << 20};

TEST(ReceiveWindow, AcceptabilityTable) {
  struct Row {
    int32_t at;  // SEG.SEQ - RCV.NXT
    uint32_t payload;
    uint32_t window;
    bool want;
  };
  const Row rows[] = {
      {0, 0, 0, true},    {1, 0, 0, false},    {-1, 0, 0, false},   // length 0, window 0
      {0, 0, 10, true},   {9, 0, 10, true},    {10, 0, 10, false},  // length 0, window > 0
      {-1, 0, 10, false}, {0, 1, 0, false},    {-1, 2, 0, false},   // length > 0, window 0
      {0, 1, 10, true},   {9, 5, 10, true},    {10, 1, 10, false},  // length > 0, window > 0
      {-5, 5, 10, false}, {-5, 6, 10, true},   {-5, 15, 10, true},
      {-5, 16, 10, true}, {-5, 100, 10, true},
  };
  for (uint32_t start : kStartNumbers) {
    for (const Row& row : rows) {
      const Seq nxt{start};
      const SegmentSpan segment{nxt + static_cast<uint32_t>(row.at), row.payload};
      EXPECT_EQ(acceptable(segment, nxt, row.window), row.want)
          << start << ' ' << row.at << ' ' << row.payload << ' ' << row.window;
    }
  }
  EXPECT_TRUE(acceptable({Seq{5}, 0, false, true}, Seq{5}, 1));
  EXPECT_FALSE(acceptable({Seq{4}, 0, false, true}, Seq{5}, 1));
}

TEST(ReceiveWindow, TrimsToTheWindow) {
  for (uint32_t start : kStartNumbers) {
    const Seq nxt{start};
    Trimmed t = trim({nxt - 5, 20, false, true}, nxt, 100);
    EXPECT_EQ(t.kept.seq, nxt);
    EXPECT_EQ(t.kept.payload, 15u);
    EXPECT_EQ(t.skipped, 5u);
    EXPECT_TRUE(t.kept.fin);
    t = trim({nxt - 5, 20, false, true}, nxt, 10);
    EXPECT_EQ(t.kept.payload, 10u);
    EXPECT_EQ(t.cut_short, 5u);
    EXPECT_FALSE(t.kept.fin);
    t = trim({nxt, 10, false, true}, nxt, 10);  // the FIN's octet is just beyond
    EXPECT_EQ(t.kept.payload, 10u);
    EXPECT_FALSE(t.kept.fin);
    t = trim({nxt - 6, 5, false, true}, nxt, 10);  // all of it old, with its FIN
    EXPECT_EQ(t.kept.length(), 0u);
    EXPECT_EQ(t.kept.seq, nxt);
    t = trim({nxt - 1, 4, true, false}, nxt, 10);
    EXPECT_FALSE(t.kept.syn);
    EXPECT_EQ(t.kept.payload, 4u);
    EXPECT_EQ(t.skipped, 0u);
  }
}

TEST(ReceiveWindow, FollowsBytesAndBuffers) {
  ReceiveWindow by_bytes({.initial = 60000, .mss = 1000}, Seq{1});
  EXPECT_EQ(by_bytes.advertise(Seq{1}, {30000, 1000}, 0), 30000);
  ReceiveWindow by_buffers({.initial = 60000, .mss = 1000}, Seq{1});
  EXPECT_EQ(by_buffers.advertise(Seq{1}, {30000, 12}, 0), 12000);
  ReceiveWindow by_unread({.initial = 60000, .mss = 1000}, Seq{1});
  EXPECT_EQ(by_unread.advertise(Seq{1}, kPlenty, 50000), 10000);
  ReceiveWindow scaled({.initial = 1 << 20, .max = 1 << 20, .mss = 1000, .shift = 20}, Seq{1});
  EXPECT_EQ(scaled.shift(), 14);
  EXPECT_EQ(scaled.advertise_in_syn(Seq{1}, kPlenty), 65535);
  EXPECT_EQ(scaled.advertise(Seq{1}, kPlenty, 0), 64);
  EXPECT_EQ(shift_for(65535), 0);
  EXPECT_EQ(shift_for(65536), 1);
  EXPECT_EQ(shift_for(uint64_t{1} << 40), 14);
}

TEST(ReceiveWindow, KeepsItsPromiseAndOpensInLargeSteps) {
  const Seq nxt{0xfffffff0u};
  ReceiveWindow window({.initial = 10000, .mss = 1000}, nxt);
  EXPECT_EQ(window.advertise(nxt, kPlenty, 0), 10000);
  EXPECT_EQ(window.advertise(nxt + 4000, {0, 0}, 4000), 6000);
  EXPECT_EQ(window.advertise(nxt + 10000, {0, 0}, 10000), 0);
  EXPECT_EQ(window.window(nxt + 10000), 0u);
  EXPECT_FALSE(window.update_needed(nxt + 10000, kPlenty, 9001));
  EXPECT_EQ(window.advertise(nxt + 10000, kPlenty, 9001), 0);
  EXPECT_TRUE(window.update_needed(nxt + 10000, kPlenty, 9000));
  EXPECT_EQ(window.advertise(nxt + 10000, kPlenty, 9000), 1000);
}

TEST(ReceiveWindow, TheRightEdgeNeverMovesLeft) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    TestRandom random(seed);
    const auto shift = static_cast<uint8_t>(random.below(15));
    Seq nxt{kStartNumbers[seed % 3]};
    ReceiveWindow window({.initial = 1 << 18, .mss = 1460, .shift = shift}, nxt);
    Seq edge = nxt;
    for (int step = 0; step < 500; ++step) {
      const Room room{random.below(1 << 19), random.below(300)};
      const uint16_t field = window.advertise(nxt, room, random.below(1 << 18));
      const Seq seen = nxt + (uint32_t{field} << shift);
      ASSERT_LE(seen - (nxt + window.window(nxt)), 0);
      ASSERT_GE(nxt + window.window(nxt), edge);
      // What the peer sees steps back by less than a scale unit.
      ASSERT_GT(seen - edge, -(1 << shift));
      // And it grows only into room.
      if (seen > edge) {
        ASSERT_LE(uint32_t{field} << shift, room.bytes);
      }
      edge = max(edge, seen);
      nxt += random.below(window.window(nxt) + 1);
    }
  }
}

TEST(ReceiveWindow, TargetFollowsWhatIsReadInARoundTrip) {
  ReceiveWindow window({.initial = 10000, .max = 1 << 20, .mss = 1000, .shift = 5}, Seq{1});
  const Duration rtt = std::chrono::milliseconds(10);
  Instant now{1};
  window.on_delivered(now, rtt, 10000);
  EXPECT_EQ(window.target(), 10000u);
  now = now + rtt;
  window.on_delivered(now, rtt, 10000);
  EXPECT_EQ(window.target(), 42000u);
  window.on_delivered(now + 10 * rtt, rtt, 1000);  // a pause does not shrink it
  EXPECT_EQ(window.target(), 42000u);
  for (int i = 0; i < 100; ++i) {
    now = now + 20 * rtt;
    window.on_delivered(now, rtt, 100'000'000);
  }
  EXPECT_EQ(window.target(), 1u << 20);
}

TEST(Timestamps, Paws) {
  const Instant now{uint64_t{100} * 24 * 3600 * 1'000'000'000};
  struct Row {
    uint32_t recent;
    uint32_t tsval;
    Duration idle;
    bool rst;
    bool want;
  };
  const Duration day = std::chrono::hours(24);
  const Row rows[] = {
      {100, 100, {}, false, false},
      {100, 101, {}, false, false},
      {100, 99, {}, false, true},
      {100, 99, {}, true, false},
      {5, 0xfffffff0u, {}, false, true},
      {0xfffffff0u, 5, {}, false, false},
      {0x80000005u, 5, {}, false, true},
      {100, 99, 23 * day, false, true},
      {100, 99, 25 * day, false, false},
      {100, 99, 24 * day + std::chrono::seconds(2), false, false},
  };
  for (const Row& row : rows) {
    Timestamps ts;
    EXPECT_FALSE(ts.rejects(row.tsval, false, now));
    ts.start(row.recent, now);
    EXPECT_EQ(ts.rejects(row.tsval, row.rst, now + row.idle), row.want)
        << row.recent << ' ' << row.tsval;
  }
}

TEST(Timestamps, RecentComesFromTheSegmentThatIsAcknowledgedNext) {
  for (uint32_t start : kStartNumbers) {
    const Seq acked{start};
    const Instant now{1'000'000'000};
    Timestamps ts(77);
    ts.start(100, now);
    ts.update(acked, 110, acked, now);
    EXPECT_EQ(ts.echo(), 110u);
    ts.update(acked + 1, 120, acked, now);
    EXPECT_EQ(ts.echo(), 110u);
    ts.update(acked - 1, 105, acked, now);
    EXPECT_EQ(ts.echo(), 110u);
    ts.update(acked, 5, acked, now + std::chrono::hours(25 * 24));
    EXPECT_EQ(ts.echo(), 5u);
    EXPECT_EQ(ts.value(now), 1077u);
    EXPECT_EQ(ts.since(1070, now), std::chrono::milliseconds(7));
    EXPECT_EQ(ts.since(1080, now), Duration(0));
  }
}

}  // namespace
}  // namespace paste::tcp
