// The card, behaviour by behaviour, against a link into a sink.
#include "port/sim/nic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

struct NicBed {
  explicit NicBed(const NicOptions& options, uint64_t seed = 1)
      : world(seed), sink(world), out(world, "out", {}), nic(world, "card", out, options) {
    out.connect(sink);
  }
  bool send(uint64_t token) {
    const Bytes piece(data);
    return nic.transmit(token, {&piece, 1});
  }
  std::vector<uint64_t> take(size_t room = 1000) {
    std::vector<uint64_t> tokens(room);
    tokens.resize(nic.completions(tokens));
    return tokens;
  }

  World world;
  Frame data = numbered(1, 100);
  Sink sink;
  Link out;
  Nic nic;
};

class Sleeper final : public Actor {
 public:
  void act(tcp::Instant now) override { woken.push_back(now.ns - World::kStart.ns); }
  std::vector<uint64_t> woken;
};

TEST(Nic, GathersPiecesIntoOneFrame) {
  NicBed bed({});
  const Frame a = numbered(7, 20);
  const Frame b = numbered(8, 50);
  const std::array<Bytes, 3> pieces = {Bytes(a), Bytes(), Bytes(b)};
  ASSERT_TRUE(bed.nic.transmit(1, pieces));
  bed.world.run_for(nanoseconds(0));
  Frame whole = a;
  whole.insert(whole.end(), b.begin(), b.end());
  ASSERT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_EQ(bed.sink.arrived[0].frame, whole);
}

TEST(Nic, AcceptsAsManyAsTheRingHoldsUntilCompletionsAreTaken) {
  NicBed bed({.tx_ring = 4, .completion_delay = microseconds(10)});
  for (uint64_t token = 0; token < 4; ++token) EXPECT_TRUE(bed.send(token));
  EXPECT_FALSE(bed.send(4));
  EXPECT_TRUE(bed.take().empty()) << "not before their time";
  bed.world.run_for(microseconds(10));
  EXPECT_FALSE(bed.send(4)) << "ready completions keep their slots";
  EXPECT_EQ(bed.take(3), (std::vector<uint64_t>{0, 1, 2})) << "as many as fit the caller's room";
  EXPECT_TRUE(bed.send(4));
  EXPECT_EQ(bed.take(), (std::vector<uint64_t>{3}));
  EXPECT_EQ(bed.nic.counters().tx_refused, 2u);
  EXPECT_TRUE(bed.nic.check());
}

TEST(Nic, AcceptsABurstThenPauses) {
  NicBed bed({.tx_burst = 3, .tx_pause = microseconds(1)});
  int accepted = 0;
  for (uint64_t token = 0; token < 10; ++token) accepted += bed.send(token) ? 1 : 0;
  EXPECT_EQ(accepted, 3);
  Sleeper sleeper;
  (void)bed.take();
  bed.nic.arm(sleeper);
  bed.world.run_for(microseconds(5));
  EXPECT_EQ(sleeper.woken, (std::vector<uint64_t>{1000})) << "when trying again makes sense";
  EXPECT_TRUE(bed.send(11));
}

TEST(Nic, RefusesByChance) {
  NicBed bed({.tx_ring = 10'000,
              .tx_burst = 10'000,
              .tx_pause = microseconds(1),
              .tx_refuse_ppm = 100'000},
             41);
  int accepted = 0;
  for (uint64_t token = 0; token < 5'000; ++token) {
    accepted += bed.send(token) ? 1 : 0;
    bed.world.run_for(microseconds(1));
  }
  EXPECT_NEAR(accepted, 4'500, 120) << "SEED=41";
}

TEST(Nic, CompletesLateOutOfOrderAndExactlyOnce) {
  NicBed bed({.completion_delay = microseconds(50),
              .completion_jitter = microseconds(100),
              .completions_shuffled = true},
             42);
  std::vector<uint64_t> expected;
  for (uint64_t token = 1000; token < 1060; ++token) {
    ASSERT_TRUE(bed.send(token));
    expected.push_back(token);
  }
  bed.world.run_for(nanoseconds(49'999));
  EXPECT_TRUE(bed.take().empty());
  std::vector<uint64_t> tokens;
  while (tokens.size() < expected.size()) {
    bed.world.run_for(microseconds(20));
    for (const uint64_t token : bed.take(7)) tokens.push_back(token);
    ASSERT_TRUE(bed.nic.check());
  }
  EXPECT_LE(bed.world.now(), World::kStart + microseconds(400));
  EXPECT_FALSE(std::is_sorted(tokens.begin(), tokens.end())) << "SEED=42";
  std::sort(tokens.begin(), tokens.end());
  EXPECT_EQ(tokens, expected);
  bed.world.run_for(microseconds(1000));
  EXPECT_TRUE(bed.take().empty());
  EXPECT_EQ(bed.nic.tx_in_ring(), 0u);
}

TEST(Nic, CompletesInOrderUnlessAsked) {
  NicBed bed({.completion_jitter = microseconds(100)}, 43);
  for (uint64_t token = 0; token < 60; ++token) ASSERT_TRUE(bed.send(token));
  bed.world.run_for(microseconds(100));
  const std::vector<uint64_t> tokens = bed.take();
  EXPECT_EQ(tokens.size(), 60u);
  EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
}

TEST(Nic, NoticesMemoryThatChangedBeforeItsCompletion) {
  NicBed bed({.completion_delay = microseconds(10)});
  ASSERT_TRUE(bed.send(1));
  bed.data[50] = std::byte{0xff};
  bed.world.run_for(microseconds(10));
  EXPECT_EQ(bed.take().size(), 1u);
  EXPECT_EQ(bed.nic.counters().tx_changed, 1u);
  EXPECT_FALSE(bed.nic.check());
  EXPECT_EQ(bed.sink.arrived[0].frame, numbered(1, 100)) << "what was given is what was sent";
}

TEST(Nic, DropsArrivalsWhenTheRingIsFull) {
  NicBed bed({.rx_ring = 5, .rx_burst = 2});
  for (uint32_t i = 0; i < 8; ++i) bed.nic.receive(numbered(i, 60));
  EXPECT_EQ(bed.nic.counters().rx_full, 3u);
  std::vector<Frame> frames(10);
  EXPECT_EQ(bed.nic.receive(frames), 2u) << "a burst";
  EXPECT_EQ(number_of(frames[0]), 0u);
  EXPECT_EQ(bed.nic.receive(std::span(frames).first(1)), 1u);
  EXPECT_EQ(number_of(frames[0]), 2u);
  EXPECT_EQ(bed.nic.receive(frames), 2u);
  EXPECT_EQ(number_of(frames[1]), 4u) << "the newest were dropped";
  EXPECT_EQ(bed.nic.receive(frames), 0u);
  EXPECT_TRUE(bed.nic.check());
}

TEST(Nic, WakesOnceForEachArming) {
  NicBed bed({.completion_delay = microseconds(30), .wakeup_delay = microseconds(2)});
  Sleeper sleeper;
  bed.nic.arm(sleeper);
  bed.world.run_for(microseconds(10));
  EXPECT_TRUE(sleeper.woken.empty());
  bed.nic.receive(numbered(0, 60));
  bed.nic.receive(numbered(1, 60));
  bed.world.run_for(microseconds(10));
  EXPECT_EQ(sleeper.woken, (std::vector<uint64_t>{12'000}));
  std::vector<Frame> frames(4);
  EXPECT_EQ(bed.nic.receive(std::span(frames).first(1)), 1u);
  bed.nic.arm(sleeper);
  bed.world.run_for(microseconds(10));
  EXPECT_EQ(sleeper.woken.back(), 22'000u) << "something is there already";
  EXPECT_EQ(bed.nic.receive(frames), 1u);
  ASSERT_TRUE(bed.send(1));
  bed.nic.arm(sleeper);
  bed.world.run_for(microseconds(100));
  EXPECT_EQ(sleeper.woken.back(), 62'000u) << "the completion";
  EXPECT_EQ(sleeper.woken.size(), 3u);
  EXPECT_EQ(bed.take().size(), 1u);
  bed.nic.arm(sleeper);
  bed.nic.disarm();
  bed.nic.set_mtu(9000);
  bed.world.run_for(microseconds(10));
  EXPECT_EQ(sleeper.woken.size(), 3u) << "nobody is armed";
  bed.nic.arm(sleeper);
  bed.world.run_for(microseconds(10));
  EXPECT_EQ(sleeper.woken.size(), 4u) << "but it was not forgotten";
}

TEST(Nic, LosesFramesWhileTheLinkIsDownAndCompletesThem) {
  NicBed bed({});
  Sleeper sleeper;
  bed.nic.arm(sleeper);
  bed.nic.set_up(false);
  EXPECT_FALSE(bed.nic.up());
  ASSERT_TRUE(bed.send(1));
  bed.nic.receive(numbered(0, 60));
  bed.world.run_for(microseconds(1));
  EXPECT_EQ(sleeper.woken.size(), 1u) << "the flap is an event";
  EXPECT_EQ(bed.take(), (std::vector<uint64_t>{1}));
  EXPECT_TRUE(bed.sink.arrived.empty());
  EXPECT_EQ(bed.nic.counters().tx_link_down, 1u);
  EXPECT_EQ(bed.nic.counters().rx_link_down, 1u);
  bed.nic.faults_off();
  ASSERT_TRUE(bed.send(2));
  bed.world.run_for(microseconds(1));
  EXPECT_EQ(bed.sink.arrived.size(), 1u);
  EXPECT_TRUE(bed.nic.check());
}

TEST(Nic, ItsMtuHoldsBothWaysAndMayChange) {
  NicBed bed({.mtu = 1500});
  bed.data = numbered(0, 1515);
  ASSERT_TRUE(bed.send(1));
  bed.nic.receive(numbered(0, 1515));
  EXPECT_EQ(bed.nic.counters().tx_too_large, 1u);
  EXPECT_EQ(bed.nic.counters().rx_too_large, 1u);
  bed.nic.set_mtu(1501);
  bed.nic.receive(numbered(0, 1515));
  EXPECT_EQ(bed.nic.rx_in_ring(), 1u);
  EXPECT_EQ(bed.take(), (std::vector<uint64_t>{1}));
  EXPECT_TRUE(bed.nic.check());
}

}  // namespace
}  // namespace paste::sim
