// Swarm runs. Method: 1000 seeds, each a link as its seed draws it, random traffic, clogs and
// partitions. Invariants checked: every frame is accounted for at every step; once the faults stop
// everything that fits the queue and the MTU arrives unharmed within bounded time. A failure prints
// the seed, the link and the last events.
#include "port/sim/swarm.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

void disturb(Link& link, Prng& prng) {
  if (prng.chance(50'000)) link.clog(prng.chance(kPpm / 2));
  if (prng.chance(20'000)) link.partition(prng.chance(kPpm / 2));
}

void run_safety(LinkBed& bed, Prng& prng) {
  for (uint32_t i = 0; i < 150; ++i) {
    bed.link.send(numbered(i, 60 + prng.below(1455)));
    disturb(bed.link, prng);
    bed.world.run_for(Duration(static_cast<int64_t>(prng.below(2'000'000))));
    const Result<void> checked = bed.link.check();
    ASSERT_TRUE(checked) << checked.error().message();
  }
}

void run_liveness(LinkBed& bed) {
  bed.link.faults_off();
  ASSERT_TRUE(bed.world.run_until([&] { return bed.link.idle(); }, bed.world.now() + seconds(20)));
  bed.sink.arrived.clear();
  const LinkCounters before = bed.link.counters();
  bed.send_many(20, 1514, seconds(1));
  const LinkCounters& after = bed.link.counters();
  EXPECT_EQ(after.delivered - before.delivered, 20u);
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(bed.sink.arrived[i].frame, numbered(i, 1514)) << i;
  }
  EXPECT_EQ(after.sent + after.duplicated, after.delivered + after.dropped_total());
}

TEST(Swarm, FramesAreConservedAndFaultsStop) {
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    Prng prng(seed);
    LinkBed bed(swarm_link(prng.fork("swarm")), seed);
    const std::string link = to_string(bed.link.options());
    run_safety(bed, prng);
    run_liveness(bed);
    if (::testing::Test::HasFailure()) {
      FAIL() << "SEED=" << seed << " " << link << "\n" << bed.world.last_events().to_string();
    }
  }
}

// Each knob must be on for about half of the seeds, and its strength must vary.
TEST(Swarm, EachImpairmentIsOffHalfOfTheTime) {
  constexpr int kSeeds = 2000;
  int lossy = 0;
  int bursty = 0;
  int slow = 0;
  int jittery = 0;
  int quiet = 0;
  std::set<uint32_t> strengths;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const LinkOptions o = swarm_link(Prng(seed));
    lossy += o.loss_ppm != 0 ? 1 : 0;
    bursty += o.burst.to_bad_ppm != 0 ? 1 : 0;
    slow += o.rate_bps != 0 ? 1 : 0;
    jittery += o.jitter.count() != 0 ? 1 : 0;
    quiet += o.loss_ppm == 0 && o.burst.to_bad_ppm == 0 && o.corrupt_ppm == 0 ? 1 : 0;
    strengths.insert(o.loss_ppm);
    EXPECT_LE(o.loss_ppm, 200'000u);
    EXPECT_TRUE(o.mtu == 0 || o.mtu >= 1500);
  }
  for (const int count : {lossy, bursty, slow, jittery}) EXPECT_NEAR(count, 1000, 120);
  EXPECT_NEAR(quiet, 250, 80);
  EXPECT_GT(strengths.size(), 500u);
}

TEST(Swarm, SkewedPrefersTheSmall) {
  Prng prng(31);
  int small = 0;
  uint64_t greatest = 0;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = skewed(prng, 100'000);
    ASSERT_GE(value, 1u);
    ASSERT_LE(value, 100'000u);
    small += value <= 5'000 ? 1 : 0;
    greatest = std::max(greatest, value);
  }
  EXPECT_GT(small, 5'000);
  EXPECT_GT(greatest, 90'000u);
}

TEST(Swarm, TheLinkCanBeRead) {
  EXPECT_EQ(to_string(LinkOptions{}), "link{rate=0bps delay=0 ns}");
  LinkOptions o{.rate_bps = 5, .delay = microseconds(10), .loss_ppm = 7, .jitter_reorders = true};
  o.burst = {1, 2, 3};
  EXPECT_EQ(to_string(o), "link{rate=5bps delay=10 us loss_ppm=7 burst_ppm=1/2/3 jitter_reorders}");
}

}  // namespace
}  // namespace paste::sim
