// Virtual time. Method: actors that log when they ran; the heap against a naive twin that searches
// a plain list; trace hashes of equal and unequal runs.
#include "port/sim/world.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "port/sim/swarm.h"
#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr tcp::Instant kT0 = World::kStart;

struct Ran {
  int who;
  uint64_t after_ns;
  friend bool operator==(const Ran&, const Ran&) = default;
};

class Logger final : public Actor {
 public:
  Logger(std::vector<Ran>& log, int who) : log_(log), who_(who) {}
  void act(tcp::Instant now) override {
    log_.push_back({who_, now.ns - kT0.ns});
    if (then) then();
  }
  std::function<void()> then;

 private:
  std::vector<Ran>& log_;
  int who_;
};

struct Loggers {
  explicit Loggers(int count) {
    for (int i = 0; i < count; ++i) actors.push_back(std::make_unique<Logger>(log, i));
  }
  Logger& operator[](int i) { return *actors[static_cast<size_t>(i)]; }
  std::vector<Ran> log;
  std::vector<std::unique_ptr<Logger>> actors;
};

TEST(World, ClockStartsAboveZeroAndStopsAtTheDeadline) {
  World world(1);
  EXPECT_GT(world.now().ns, 0u);
  world.run_for(milliseconds(3));
  EXPECT_EQ(world.now(), kT0 + milliseconds(3));
  EXPECT_FALSE(world.run_until([] { return false; }, world.now() + milliseconds(1)));
  EXPECT_EQ(world.now(), kT0 + milliseconds(4));
  EXPECT_FALSE(world.run_until([] { return false; }, tcp::kNever)) << "nothing can happen";
  EXPECT_EQ(world.now(), kT0 + milliseconds(4));
}

TEST(World, RunsInTheOrderOfTimeThenOfRequest) {
  World world(1);
  Loggers a(4);
  world.wake(a[0], kT0 + nanoseconds(20));
  world.wake(a[3], kT0 + nanoseconds(10));
  world.wake(a[1], kT0 + nanoseconds(20));
  world.wake(a[2], kT0 + nanoseconds(10));
  world.run_for(milliseconds(1));
  EXPECT_EQ(a.log, (std::vector<Ran>{{3, 10}, {2, 10}, {0, 20}, {1, 20}}));
  EXPECT_EQ(world.events_run(), 4u);
}

TEST(World, EarliestRequestWins) {
  World world(1);
  Loggers a(1);
  world.wake(a[0], kT0 + nanoseconds(50));
  world.wake(a[0], kT0 + nanoseconds(30));
  world.wake(a[0], kT0 + nanoseconds(40));
  world.wake(a[0], tcp::kNever);
  EXPECT_EQ(world.next_event(), kT0 + nanoseconds(30));
  world.run_for(milliseconds(1));
  EXPECT_EQ(a.log, (std::vector<Ran>{{0, 30}})) << "and only once";
  EXPECT_FALSE(world.pending(a[0]));
}

TEST(World, ThePastIsNow) {
  World world(1);
  Loggers a(1);
  world.run_for(nanoseconds(100));
  world.wake(a[0], kT0);
  world.run_for(nanoseconds(0));
  EXPECT_EQ(a.log, (std::vector<Ran>{{0, 100}}));
}

TEST(World, AnActorMayWakeItselfAndOthersAndIsForgottenWhenDestroyed) {
  World world(1);
  Loggers a(3);
  int left = 3;
  a[0].then = [&] {
    if (--left > 0) world.wake(a[0], world.now() + nanoseconds(5));
    world.wake(a[1], world.now());
  };
  world.wake(a[0], kT0);
  world.wake(a[2], kT0 + nanoseconds(7));
  a.actors.pop_back();
  world.run_for(milliseconds(1));
  EXPECT_EQ(a.log, (std::vector<Ran>{{0, 0}, {1, 0}, {0, 5}, {1, 5}, {0, 10}, {1, 10}}));
  {
    World other(2);
    other.wake(a[0], kT0 + nanoseconds(1));
  }
  world.wake(a[0], world.now());
  EXPECT_TRUE(world.pending(a[0])) << "a world that ends lets its actors go";
  world.cancel(a[0]);
  EXPECT_EQ(world.next_event(), tcp::kNever);
}

TEST(World, RunUntilStopsRightAfterTheEvent) {
  World world(1);
  Loggers a(2);
  world.wake(a[0], kT0 + nanoseconds(10));
  world.wake(a[1], kT0 + nanoseconds(10));
  EXPECT_TRUE(world.run_until([&] { return a.log.size() == 1; }, tcp::kNever));
  EXPECT_EQ(a.log.size(), 1u);
  EXPECT_EQ(world.now(), kT0 + nanoseconds(10));
}

// The twin keeps (time, order of request) of each actor in a list and searches it.
TEST(World, HeapAgreesWithASearchedList) {
  constexpr uint64_t kSeed = 20261123;
  std::printf("SEED=%llu\n", static_cast<unsigned long long>(kSeed));
  constexpr int kActors = 40;
  struct Twin {
    bool pending = false;
    uint64_t at = 0;
    uint64_t order = 0;
  };
  World world(kSeed);
  Prng prng = world.prng().fork("test");
  Loggers a(kActors);
  std::vector<Twin> twins(kActors);
  uint64_t order = 0;
  for (int step = 0; step < 20'000; ++step) {
    const int who = static_cast<int>(prng.below(kActors));
    Twin& twin = twins[static_cast<size_t>(who)];
    const uint64_t now = world.now().ns - kT0.ns;
    switch (prng.below(4)) {
      case 0:
      case 1: {
        const uint64_t at = now + prng.below(50);
        world.wake(a[who], kT0 + nanoseconds(at));
        if (!twin.pending || at < twin.at) twin = {true, at, ++order};
        break;
      }
      case 2:
        if (prng.chance(kPpm / 5)) {
          world.cancel(a[who]);
          twin.pending = false;
        }
        break;
      default: {
        Twin* first = nullptr;
        for (Twin& t : twins) {
          if (t.pending && (first == nullptr || t.at < first->at ||
                            (t.at == first->at && t.order < first->order))) {
            first = &t;
          }
        }
        ASSERT_EQ(world.step(tcp::kNever), first != nullptr);
        if (first == nullptr) break;
        first->pending = false;
        ASSERT_EQ(a.log.back(), (Ran{static_cast<int>(first - twins.data()), first->at})) << step;
      }
    }
  }
  EXPECT_GT(a.log.size(), 3'000u);
}

// A run with everything in it: a swarm link, random traffic.
uint64_t hash_of_run(uint64_t seed) {
  LinkBed bed(swarm_link(Prng(seed).fork("swarm")), seed);
  bed.send_many(200, 600, nanoseconds(50'000));
  return bed.world.trace_hash();
}

TEST(World, EqualSeedsGiveEqualTracesAndOthersDoNot) {
  std::vector<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    hashes.push_back(hash_of_run(seed));
    EXPECT_EQ(hashes.back(), hash_of_run(seed)) << "SEED=" << seed;
  }
  std::sort(hashes.begin(), hashes.end());
  // Seeds that draw a link without any impairment may run alike; that is rare.
  const auto last = std::unique(hashes.begin(), hashes.end());
  EXPECT_GE(last - hashes.begin(), 45);
}

TEST(World, TheTraceIsOrdered) {
  World a(1);
  World b(1);
  a.trace(1);
  a.trace(2);
  b.trace(2);
  b.trace(1);
  EXPECT_NE(a.trace_hash(), b.trace_hash());
}

TEST(EventRing, KeepsTheLast) {
  World world(1);
  EXPECT_EQ(world.last_events().size(), 0u);
  for (uint64_t i = 0; i < 450; ++i) world.record("tick", 7, i);
  const EventRing& ring = world.last_events();
  ASSERT_EQ(ring.size(), EventRing::kKept);
  EXPECT_EQ(ring[0].value, 250u);
  EXPECT_EQ(ring[199].value, 449u);
  const std::string text = ring.to_string();
  EXPECT_EQ(text.substr(0, text.find('\n')), "     1.000000000 tick 7 250");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 200);
}

}  // namespace
}  // namespace paste::sim
