// Goal: what fuzzing and the wire monitor have found stays repaired. Method: one connection, driven
// segment by segment.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tcp/connection.h"

namespace paste::simulation {
namespace {

using tcp::Connection;
using tcp::Instant;
using tcp::Outgoing;
using tcp::Segment;
using tcp::Seq;
using tcp::State;

constexpr Seq kIss{1000};
constexpr Seq kPeer{5000};

class Driver final : public tcp::Owner {
 public:
  explicit Driver(const tcp::ConnectionOptions& options) : shared(options, 1) {
    Segment syn;
    syn.seq = kPeer;
    syn.flags = tcp::kSyn;
    syn.window = 10'000;
    syn.options.mss = 1460;
    syn.options.sack_permitted = true;
    connection = std::make_unique<Connection>(shared, Connection::Identity{kIss, 0}, syn, now);
    drain();
    arrive(ack(0));
  }
  [[nodiscard]] Segment ack(uint32_t acked) const {
    Segment segment;
    segment.seq = connection->rcv_nxt();
    segment.ack = kIss + 1 + acked;
    segment.flags = tcp::kAck;
    segment.window = 10'000;
    return segment;
  }
  void arrive(const Segment& segment) {
    (void)connection->process(segment, now, *this);
    drain();
  }
  // At most a thousand segments; true if it came to rest.
  bool drain() {
    Outgoing out;
    for (int i = 0; i < 1000 && connection->dispatch(now, out, *this); ++i) sent.push_back(out);
    return connection->next_deadline(now) > now;
  }
  bool to_deadline() {
    now = std::max(now, connection->next_deadline(now));
    return drain();
  }
  void write(uint32_t n, uint16_t length = 1000) {
    for (; n > 0; --n) EXPECT_TRUE(connection->write({1, 0, length}, 0).has_value());
  }

  void deliver(Slice) override {}
  void release(BufferName) override {}
  void hold(BufferName, uint32_t) override {}
  void acknowledged(Slice, uint64_t) override {}
  [[nodiscard]] uint32_t free_buffers() const override { return free; }
  [[nodiscard]] bool may_challenge(Instant, tcp::ChallengeState&) override { return true; }

  Instant now{1'000'000'000};
  uint32_t free = 1000;
  std::vector<Outgoing> sent;
  tcp::Shared shared;
  std::unique_ptr<Connection> connection;
};

tcp::ConnectionOptions plain() {
  tcp::ConnectionOptions options;
  options.timestamps = false;
  options.sender.nagle = false;
  return options;
}

TEST(Found, FullScoreboardIsNoReasonToRunInCircles) {
  tcp::ConnectionOptions options = plain();
  options.sender.records_max = 2;
  Driver d(options);
  d.write(4);
  EXPECT_TRUE(d.drain());
  EXPECT_GT(d.connection->next_deadline(d.now), d.now);
}

TEST(Found, PassedReleaseIsNoDeadline) {
  tcp::ConnectionOptions options = plain();
  options.sender.pacing.timed = true;
  Driver d(options);
  d.now = d.now + std::chrono::milliseconds(1);
  d.write(1);
  d.drain();
  d.now = d.now + std::chrono::milliseconds(20);
  d.arrive(d.ack(1000));
  d.write(40);
  // The window is full long before all of it has left.
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(d.to_deadline()) << i;
}

// Both a probe and an opening window meet a front segment that was sacked and not acknowledged.
TEST(Found, RenegingIsSurvivedWithAClosedWindow) {
  for (const bool open_again : {false, true}) {
    Driver d(plain());
    d.write(3);
    d.drain();
    Segment sack = d.ack(0);
    sack.window = 0;
    sack.options.sack_count = 1;
    sack.options.sack[0] = {kIss + 1, kIss + 2001};
    d.arrive(sack);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(d.to_deadline());
    if (open_again) {
      d.arrive(sack);
      d.arrive(d.ack(0));
    }
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(d.to_deadline());
    EXPECT_EQ(d.connection->sender()->scoreboard().counts(),
              d.connection->sender()->scoreboard().recount());
    d.arrive(d.ack(3000));
    EXPECT_EQ(d.connection->send_state().flight(), 0U);
  }
}

// With our window closed, the ACK of a segment that is not acceptable is heard, within bounds.
TEST(Found, ImpossibleAckIntoClosedWindowIsIgnored) {
  tcp::ConnectionOptions options = plain();
  options.window_initial = 1460;
  options.window_scale = false;
  Driver d(options);
  d.free = 0;
  Segment data = d.ack(0);
  data.payload = {2, 0, 1460};
  d.arrive(data);
  ASSERT_EQ(d.sent.back().header.window, 0);
  d.write(1);
  d.drain();
  Segment wrong = d.ack(5000);
  wrong.payload = {2, 0, 1};
  d.arrive(wrong);
  EXPECT_EQ(d.connection->send_state().una, kIss + 1);
  Segment right = d.ack(1000);
  right.payload = {2, 0, 1};
  d.arrive(right);
  EXPECT_EQ(d.connection->send_state().una, kIss + 1001);
}

TEST(Found, BlocksNeverMakeASegmentTooLarge) {
  Driver d(plain());
  Segment ahead = d.ack(0);
  ahead.seq += 500;
  ahead.payload = {2, 0, 100};
  d.write(4, 1460);
  const size_t before = d.sent.size();
  d.arrive(ahead);
  bool told = false;
  for (size_t i = before; i < d.sent.size(); ++i) {
    const Outgoing& out = d.sent[i];
    const uint32_t options = out.header.options.sack_count * 8U;
    told = told || options != 0;
    EXPECT_LE(out.bytes + options, 1460U);
  }
  EXPECT_TRUE(told);
  EXPECT_EQ(d.connection->send_state().flight(), 4U * 1460);
}

TEST(Found, OldDataWithNewAckDoesNotWidenTheWindow) {
  Driver d(plain());
  Segment data = d.ack(0);
  data.payload = {2, 0, 100};
  d.arrive(data);
  d.write(8);
  d.drain();
  // It repeats data, reaches a little ahead, and acknowledges more, with less window.
  Segment old = d.ack(4000);
  old.seq = old.seq - 100;
  old.payload = {2, 0, 110};
  old.window = 6000;
  d.arrive(old);
  EXPECT_EQ(d.connection->send_state().window, 6000U);
}

TEST(Found, SynAgainPromisesNoLess) {
  tcp::ConnectionOptions options = plain();
  Segment syn;
  syn.seq = kPeer;
  syn.flags = tcp::kSyn;
  Driver d(options);
  d.connection = std::make_unique<Connection>(d.shared, Connection::Identity{kIss, 0}, syn, d.now);
  d.drain();
  const uint16_t first = d.sent.back().header.window;
  d.free = 0;
  d.to_deadline();
  EXPECT_TRUE(d.sent.back().header.has(tcp::kSyn));
  EXPECT_EQ(d.sent.back().header.window, first);
}

// Sixty tries: the interval stays what it is at most and never overflows.
TEST(Found, ManySynsKeepTheirDistance) {
  tcp::ConnectionOptions options = plain();
  options.syn_tries = 60;
  Driver d(options);
  d.connection = std::make_unique<Connection>(d.shared, Connection::Identity{kIss, 0}, d.now);
  d.sent.clear();
  for (int i = 0; i < 60; ++i) {
    d.drain();
    d.now = d.connection->next_deadline(d.now);
    ASSERT_EQ(d.sent.size(), static_cast<size_t>(i) + 1);
  }
}

// RFC 9293 §3.5, figure 8.
TEST(Found, SimultaneousOpenEnds) {
  const tcp::ConnectionOptions options = plain();
  Driver a(options), b(options);
  a.connection = std::make_unique<Connection>(a.shared, Connection::Identity{kIss, 0}, a.now);
  b.connection = std::make_unique<Connection>(b.shared, Connection::Identity{kPeer, 0}, b.now);
  a.sent.clear();
  b.sent.clear();
  a.drain();
  b.drain();
  for (int round = 0; round < 10; ++round) {
    const std::vector<Outgoing> from_a = std::move(a.sent), from_b = std::move(b.sent);
    a.sent.clear();
    b.sent.clear();
    for (const Outgoing& out : from_a) b.arrive(out.header);
    for (const Outgoing& out : from_b) a.arrive(out.header);
  }
  EXPECT_EQ(a.connection->state(), State::established);
  EXPECT_EQ(b.connection->state(), State::established);
  EXPECT_TRUE(a.sent.empty() && b.sent.empty());
}

// A smaller segment size while as many segments are in flight as may be: nothing runs in circles,
// and what was too large leaves in smaller pieces (RFC 8201 §5.4).
TEST(Found, SmallerSegmentsWithAFullScoreboard) {
  tcp::ConnectionOptions options = plain();
  options.sender.records_max = 3;
  options.sender.rtt.rto_min = std::chrono::milliseconds(200);
  Driver d(options);
  d.write(5, 1460);
  d.drain();
  EXPECT_EQ(d.sent.back().bytes, 1460U);
  const tcp::IcmpError error{.kind = tcp::IcmpError::Kind::too_big,
                             .mtu = 600,
                             .tuple = {},
                             .seq = d.connection->send_state().una};
  EXPECT_TRUE(d.connection->icmp(error, true, d.now, d));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(d.to_deadline()) << i;
  EXPECT_EQ(d.sent.back().bytes, 560U);
  for (uint32_t acked = 560; acked <= 5U * 1460; acked += 560) {
    d.arrive(d.ack(std::min(acked, d.connection->send_state().nxt.value - kIss.value - 1)));
    ASSERT_TRUE(d.to_deadline());
  }
}

}  // namespace
}  // namespace paste::simulation
