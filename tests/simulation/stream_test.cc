// Goal: whatever the network does, both streams arrive whole, both connections end, and no buffer
// is lost. Method: pairs of connections over faulty links, everything drawn from the seed; first
// faults, then none. PASTE_SIM_SEED=n runs one seed, PASTE_SIM_SEEDS=n so many.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "pair.h"

namespace paste::simulation {
namespace {

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

// What the runs have gone through; a kind that never happens tests nothing.
struct Totals {
  tcp::SenderCounters sender;
  tcp::ConnectionDrops drops;
  uint64_t bytes = 0, frames = 0, lost = 0, bad_frames = 0, ecn = 0;

  void add(const Peer& peer) {
    const tcp::Connection& connection = *peer.connection();
    bytes += peer.received();
    bad_frames += peer.bad_frames();
    drops.not_acceptable += connection.drops().not_acceptable;
    drops.paws += connection.drops().paws;
    drops.out_of_order_full += connection.drops().out_of_order_full;
    const tcp::SenderCounters& c = connection.sent();
    sender.segments += c.segments;
    sender.retransmits += c.retransmits;
    sender.timeouts += c.timeouts;
    sender.recoveries += c.recoveries;
    sender.probes += c.probes;
    sender.window_probes += c.window_probes;
    sender.spurious += c.spurious;
    ecn += c.congestion_marks;
  }
  void add(const sim::Link& link) {
    frames += link.counters().sent;
    lost += link.counters().dropped_total();
  }
};

TEST(Streams, SurviveEveryNetwork) {
  const uint64_t one = number_from("PASTE_SIM_SEED", 0);
  const uint64_t count = one != 0 ? 1 : number_from("PASTE_SIM_SEEDS", 2000);
  uint64_t failed = 0;
  Totals totals;
  for (uint64_t i = 0; i < count && failed < 5; ++i) {
    const uint64_t seed = one != 0 ? one : i + 1;
    Pair pair(seed, random_pair(seed));
    const std::string problem = pair.run(std::chrono::seconds(60), std::chrono::hours(2));
    EXPECT_EQ(problem, "") << "PASTE_SIM_SEED=" << seed;
    if (!problem.empty()) ++failed;
    totals.add(pair.client());
    totals.add(pair.server());
    totals.add(pair.to_server());
    totals.add(pair.to_client());
  }
  std::printf(
      "%lu frames, %lu lost, %lu damaged, %lu bytes; %lu segments, %lu sent again, "
      "%lu recoveries, %lu timeouts (%lu spurious), %lu tail probes, %lu window probes, "
      "%lu marks answered; dropped: %lu not acceptable, %lu by timestamp, %lu out of room\n",
      totals.frames, totals.lost, totals.bad_frames, totals.bytes, totals.sender.segments,
      totals.sender.retransmits, totals.sender.recoveries, totals.sender.timeouts,
      totals.sender.spurious, totals.sender.probes, totals.sender.window_probes, totals.ecn,
      totals.drops.not_acceptable, totals.drops.paws, totals.drops.out_of_order_full);
  if (count < 1000) return;
  for (const uint64_t n :
       {totals.lost, totals.bad_frames, totals.sender.recoveries, totals.sender.timeouts,
        totals.sender.probes, totals.sender.window_probes, totals.sender.spurious, totals.ecn,
        totals.drops.not_acceptable}) {
    EXPECT_GT(n, 0U);
  }
}

// A buffer that the card still reads must not be used again, however late the card is.
TEST(Streams, SurviveEveryCard) {
  const uint64_t one = number_from("PASTE_SIM_SEED", 0);
  const uint64_t count = one != 0 ? 1 : number_from("PASTE_SIM_SEEDS", 2000) / 2;
  uint64_t refused = 0, full = 0, gathered = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t seed = one != 0 ? one : i + 1;
    Pair pair(seed, with_cards(seed));
    ASSERT_EQ(pair.run(std::chrono::seconds(60), std::chrono::hours(2)), "")
        << "PASTE_SIM_SEED=" << seed;
    for (Peer* peer : {&pair.client(), &pair.server()}) {
      refused += peer->nic()->counters().tx_refused;
      full += peer->nic()->counters().rx_full;
      gathered += peer->gathered();
    }
  }
  std::printf("%lu refusals, %lu frames met a full ring, %lu small pieces were gathered\n", refused,
              full, gathered);
  if (count < 500) return;
  EXPECT_GT(refused, 0U);
  EXPECT_GT(full, 0U);
  EXPECT_GT(gathered, 0U);
}

TEST(Streams, AreDeterministic) {
  for (uint64_t seed = 1; seed <= number_from("PASTE_SIM_SEEDS", 2000) / 8; ++seed) {
    uint64_t hashes[2];
    for (uint64_t& hash : hashes) {
      Pair pair(seed, seed % 2 == 0 ? with_cards(seed) : random_pair(seed));
      EXPECT_EQ(pair.run(std::chrono::seconds(60), std::chrono::hours(2)), "");
      hash = pair.world().trace_hash();
    }
    EXPECT_EQ(hashes[0], hashes[1]) << "PASTE_SIM_SEED=" << seed;
  }
}

// The short ways for usual segments change nothing: every frame and its time stay the same.
TEST(Streams, ShortWaysGiveTheSame) {
  const uint64_t count = number_from("PASTE_SIM_SEEDS", 2000) / 4;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    uint64_t hashes[2];
    for (const bool short_ways : {false, true}) {
      PairOptions options = random_pair(seed);
      options.client.connection.sender.short_ways = short_ways;
      options.server.connection.sender.short_ways = short_ways;
      Pair pair(seed, options);
      EXPECT_EQ(pair.run(std::chrono::seconds(60), std::chrono::hours(2)), "");
      hashes[short_ways] = pair.world().trace_hash();
    }
    ASSERT_EQ(hashes[0], hashes[1]) << "PASTE_SIM_SEED=" << seed;
  }
}

}  // namespace
}  // namespace paste::simulation
