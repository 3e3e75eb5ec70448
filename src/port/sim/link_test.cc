// A link without faults: times to the nanosecond, the queue's limits, MTU, partition, clog.
#include "port/sim/link.h"

#include <gtest/gtest.h>

#include <chrono>

#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr tcp::Instant kT0 = World::kStart;

TEST(Link, TakesTheTimeOfItsRateAndDelay) {
  LinkBed bed({.rate_bps = 100'000'000, .delay = milliseconds(5)});
  bed.link.send(numbered(0, 1250));  // 10,000 bits: 100 us on the line
  bed.link.send(numbered(1, 125));
  bed.world.run_for(milliseconds(10));
  ASSERT_EQ(bed.sink.arrived.size(), 2u);
  EXPECT_EQ(bed.sink.arrived[0].at, kT0 + microseconds(5100));
  EXPECT_EQ(bed.sink.arrived[1].at, kT0 + microseconds(5110));
  bed.link.send(numbered(2, 1250));
  bed.world.run_for(milliseconds(10));
  EXPECT_EQ(bed.sink.arrived[2].at, kT0 + milliseconds(10) + microseconds(5100));
}

// 3 bits/ns does not divide: single frames round down, a run of them must not lose the fractions.
TEST(Link, BackToBackFramesLoseNoTime) {
  LinkBed bed({.rate_bps = 3'000'000'000});
  for (uint32_t i = 0; i < 3000; ++i) bed.link.send(numbered(i, 100));
  bed.world.run_for(milliseconds(10));
  ASSERT_EQ(bed.sink.arrived.size(), 3000u);
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(bed.sink.arrived[i].at.ns - kT0.ns, (i + 1) * 800 / 3) << i;
    ASSERT_EQ(number_of(bed.sink.arrived[i].frame), i);
  }
}

TEST(Link, WithoutRateAndDelayArrivesAtTheSameInstantButNotInsideSend) {
  LinkBed bed({});
  bed.link.send(numbered(0, 60));
  EXPECT_TRUE(bed.sink.arrived.empty());
  EXPECT_EQ(bed.link.in_flight(), 1u);
  bed.world.run_for(nanoseconds(0));
  ASSERT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_EQ(bed.sink.arrived[0].at, kT0);
}

TEST(Link, QueueDropsItsTailByFramesAndByBytes) {
  LinkBed frames({.rate_bps = 1'000'000, .queue_frames = 3});
  for (uint32_t i = 0; i < 6; ++i) frames.link.send(numbered(i, 100));
  EXPECT_EQ(frames.link.queued(), 3u) << "and one on the line";
  EXPECT_EQ(frames.link.counters().of(Drop::queue), 2u);
  ASSERT_TRUE(frames.link.check());
  frames.world.run_for(milliseconds(100));
  ASSERT_EQ(frames.sink.arrived.size(), 4u);
  EXPECT_EQ(number_of(frames.sink.arrived[3].frame), 3u) << "the last ones were dropped";

  LinkBed bytes({.rate_bps = 1'000'000, .queue_bytes = 250});
  for (uint32_t i = 0; i < 4; ++i) bytes.link.send(numbered(i, 100));
  EXPECT_EQ(bytes.link.queued_bytes(), 200u);
  EXPECT_EQ(bytes.link.counters().of(Drop::queue), 1u);
  bytes.link.send(numbered(9, 50));
  EXPECT_EQ(bytes.link.queued_bytes(), 250u) << "what fits is taken";
  bytes.world.run_for(milliseconds(100));
  EXPECT_EQ(bytes.link.counters().delivered, 4u);
  EXPECT_EQ(bytes.link.counters().delivered_bytes, 350u);
  EXPECT_TRUE(bytes.link.check());
}

TEST(Link, MtuCountsBehindTheEthernetHeader) {
  LinkBed bed({.mtu = 1500});
  bed.link.send(numbered(0, 1514));
  bed.link.send(numbered(1, 1515));
  bed.world.run_for(milliseconds(1));
  ASSERT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_EQ(bed.link.counters().of(Drop::mtu), 1u);
}

TEST(Link, PartitionLosesWhatIsSentAndWhatWouldArrive) {
  LinkBed bed({.delay = milliseconds(2)});
  bed.link.send(numbered(0, 60));
  bed.world.run_for(milliseconds(1));
  bed.link.partition(true);
  bed.link.send(numbered(1, 60));
  bed.world.run_for(milliseconds(5));
  EXPECT_TRUE(bed.sink.arrived.empty());
  EXPECT_EQ(bed.link.counters().of(Drop::partition), 2u);
  bed.link.partition(false);
  bed.link.send(numbered(2, 60));
  bed.world.run_for(milliseconds(5));
  ASSERT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_TRUE(bed.link.check());
}

TEST(Link, ClogHoldsEverythingInOrderAndLosesNothing) {
  LinkBed bed({.rate_bps = 8'000'000, .delay = milliseconds(2)});  // 1 us a byte
  for (uint32_t i = 0; i < 4; ++i) bed.link.send(numbered(i, 1000));
  bed.world.run_for(microseconds(3500));  // frame 0 has arrived, 1 and 2 fly, 3 is on the line
  ASSERT_EQ(bed.sink.arrived.size(), 1u);
  bed.link.clog(true);
  bed.link.send(numbered(4, 1000));
  bed.world.run_for(milliseconds(50));
  EXPECT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_EQ(bed.link.queued(), 1u);
  ASSERT_TRUE(bed.link.check());
  bed.link.clog(false);
  const tcp::Instant unclogged = bed.world.now();
  bed.world.run_for(milliseconds(50));
  ASSERT_EQ(bed.sink.arrived.size(), 5u);
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(number_of(bed.sink.arrived[i].frame), i);
  EXPECT_EQ(bed.sink.arrived[2].at, unclogged);
  EXPECT_EQ(bed.sink.arrived[4].at, unclogged + milliseconds(3));
  EXPECT_EQ(bed.link.counters().dropped_total(), 0u);
}

// An endpoint may answer on the link that delivers: the answer is a later event, not a recursion.
TEST(Link, AnAnswerFromWithinAnArrivalIsALaterEvent) {
  class Echo final : public Endpoint {
   public:
    explicit Echo(Link& link) : link_(link) {}
    void receive(Frame frame) override {
      ++inside;
      EXPECT_EQ(inside, 1);
      if (++count < 5) link_.send(std::move(frame));
      --inside;
    }
    int count = 0;
    int inside = 0;

   private:
    Link& link_;
  };
  World world(1);
  Link link(world, "loop", {});
  Echo echo(link);
  link.connect(echo);
  link.send(numbered(0, 60));
  world.run_for(nanoseconds(0));
  EXPECT_EQ(echo.count, 5);
  EXPECT_TRUE(link.idle());
}

}  // namespace
}  // namespace paste::sim
