// What goes wrong on a link. Method: one fault at a time, fixed seeds, many frames; rates must be
// near what was asked, counters must tell exactly what arrived.
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <set>

#include "port/sim/link.h"
#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr uint32_t kFrames = 50'000;

size_t inversions(const std::vector<Arrival>& arrived) {
  size_t count = 0;
  for (size_t i = 1; i < arrived.size(); ++i) {
    if (number_of(arrived[i].frame) < number_of(arrived[i - 1].frame)) ++count;
  }
  return count;
}

// Lengths of the runs of consecutive numbers that are missing.
std::vector<uint32_t> gaps(const std::vector<Arrival>& arrived, uint32_t sent) {
  std::vector<uint32_t> lengths;
  uint32_t next = 0;
  for (const Arrival& arrival : arrived) {
    const uint32_t number = number_of(arrival.frame);
    if (number > next) lengths.push_back(number - next);
    next = number + 1;
  }
  if (sent > next) lengths.push_back(sent - next);
  return lengths;
}

TEST(LinkFaults, LossIsAsOftenAsAskedAndIndependent) {
  LinkBed bed({.loss_ppm = 20'000}, 3);
  bed.send_many(kFrames, 60, microseconds(1));
  const LinkCounters& c = bed.link.counters();
  EXPECT_NEAR(static_cast<double>(c.of(Drop::loss)), 1000, 100) << "SEED=3";
  EXPECT_EQ(c.delivered + c.of(Drop::loss), kFrames);
  EXPECT_EQ(bed.sink.arrived.size(), c.delivered);
  uint64_t single = 0;
  const auto runs = gaps(bed.sink.arrived, kFrames);
  for (const uint32_t run : runs) single += run == 1 ? 1 : 0;
  EXPECT_GT(single * 100, runs.size() * 95) << "independent losses rarely touch";
}

TEST(LinkFaults, BurstsAreAsLongAndAsRareAsAsked) {
  // Bad after 1000 frames on average, for 10 frames on average, and then nothing passes.
  LinkBed bed({.burst = {.to_bad_ppm = 1'000, .to_good_ppm = 100'000}}, 4);
  bed.send_many(200'000, 60, microseconds(1));
  const auto runs = gaps(bed.sink.arrived, 200'000);
  const uint64_t lost = bed.link.counters().of(Drop::burst);
  EXPECT_EQ(bed.link.counters().dropped_total(), lost);
  EXPECT_NEAR(static_cast<double>(runs.size()), 198, 40) << "SEED=4";
  EXPECT_NEAR(static_cast<double>(lost) / static_cast<double>(runs.size()), 10, 2);
}

TEST(LinkFaults, DuplicatesAreCountedAndEqual) {
  LinkBed bed({.delay = milliseconds(1), .duplicate_ppm = 50'000}, 5);
  bed.send_many(kFrames, 60, microseconds(1));
  const LinkCounters& c = bed.link.counters();
  EXPECT_NEAR(static_cast<double>(c.duplicated), 2500, 200) << "SEED=5";
  EXPECT_EQ(bed.sink.arrived.size(), kFrames + c.duplicated);
  std::vector<int> copies(kFrames);
  for (const Arrival& a : bed.sink.arrived) ++copies.at(number_of(a.frame));
  for (const int n : copies) ASSERT_TRUE(n == 1 || n == 2);
  EXPECT_EQ(inversions(bed.sink.arrived), 0u);
  EXPECT_TRUE(bed.link.check());
}

TEST(LinkFaults, ReorderedFramesLetOthersPass) {
  LinkBed bed({.delay = milliseconds(1), .reorder_ppm = 10'000, .reorder_extra = microseconds(5)},
              6);
  bed.send_many(kFrames, 60, microseconds(1));
  const LinkCounters& c = bed.link.counters();
  EXPECT_NEAR(static_cast<double>(c.reordered), 500, 80) << "SEED=6";
  EXPECT_EQ(bed.sink.arrived.size(), kFrames);
  EXPECT_NEAR(static_cast<double>(inversions(bed.sink.arrived)), static_cast<double>(c.reordered),
              30);
  std::set<uint64_t> delays;
  for (const Arrival& a : bed.sink.arrived) {
    delays.insert(a.at.ns - World::kStart.ns - uint64_t{number_of(a.frame)} * 1000);
  }
  EXPECT_EQ(delays, (std::set<uint64_t>{1'000'000, 1'005'000})) << "the others are on time";
}

TEST(LinkFaults, CorruptionFlipsOneBit) {
  LinkBed bed({.corrupt_ppm = 30'000}, 7);
  bed.send_many(kFrames, 60, microseconds(1));
  uint64_t changed = 0;
  for (uint32_t i = 0; i < kFrames; ++i) {  // nothing is lost or passes another
    const Frame expected = numbered(i, 60);
    const Frame& frame = bed.sink.arrived.at(i).frame;
    ASSERT_EQ(frame.size(), expected.size());
    int bits = 0;
    for (size_t b = 0; b < frame.size(); ++b) {
      bits += std::popcount(std::to_integer<unsigned>(frame[b] ^ expected[b]));
    }
    ASSERT_LE(bits, 1);
    changed += static_cast<uint64_t>(bits);
  }
  EXPECT_EQ(changed, bed.link.counters().corrupted);
  EXPECT_NEAR(static_cast<double>(changed), 1500, 150) << "SEED=7";
}

TEST(LinkFaults, JitterReordersOnlyWhenAsked) {
  for (const bool reorders : {false, true}) {
    LinkBed bed(
        {.delay = microseconds(100), .jitter = microseconds(20), .jitter_reorders = reorders}, 8);
    bed.send_many(kFrames, 60, microseconds(3));
    ASSERT_EQ(bed.sink.arrived.size(), kFrames);
    if (reorders) {
      EXPECT_GT(inversions(bed.sink.arrived), 1000u) << "SEED=8";
    } else {
      EXPECT_EQ(inversions(bed.sink.arrived), 0u);
    }
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (const Arrival& a : bed.sink.arrived) {
      const uint64_t delay = a.at.ns - World::kStart.ns - uint64_t{number_of(a.frame)} * 3000;
      least = std::min(least, delay);
      most = std::max(most, delay);
    }
    EXPECT_GE(least, 100'000u);
    EXPECT_LT(least, 101'000u);
    EXPECT_LE(most, 120'000u);
    EXPECT_GT(most, 119'000u);
  }
}

// Turning one fault on must not change where another strikes.
TEST(LinkFaults, FaultsDrawIndependently) {
  const auto lost_numbers = [](const LinkOptions& options) {
    LinkBed bed(options, 9);
    bed.send_many(2'000, 60, microseconds(1));
    std::set<uint32_t> seen;
    for (const Arrival& a : bed.sink.arrived) seen.insert(number_of(a.frame));
    return seen;
  };
  EXPECT_EQ(lost_numbers({.loss_ppm = 50'000}), lost_numbers({.loss_ppm = 50'000,
                                                              .duplicate_ppm = 100'000,
                                                              .jitter = microseconds(50),
                                                              .jitter_reorders = true}));
}

TEST(LinkFaults, MarksCapableFramesAboveTheThreshold) {
  Frame capable(60);
  capable[12] = std::byte{0x86};
  capable[13] = std::byte{0xdd};
  capable[14] = std::byte{0x60};
  capable[15] = std::byte{0x20};  // ECT(0)
  LinkBed bed({.rate_bps = 1'000'000, .ce_queue_bytes = 120});
  for (int i = 0; i < 5; ++i) bed.link.send(capable);  // finds 0, 0, 60, 120, 180 bytes queued
  bed.link.send(Frame(60));
  bed.world.run_for(milliseconds(100));
  EXPECT_EQ(bed.link.counters().ce_marked, 2u);
  ASSERT_EQ(bed.sink.arrived.size(), 6u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(bed.sink.arrived[i].frame[15], std::byte{static_cast<uint8_t>(i < 3 ? 0x20 : 0x30)});
  }
}

TEST(LinkFaults, FaultsOffLeavesThePath) {
  LinkOptions all{.rate_bps = 1'000'000'000,
                  .delay = milliseconds(1),
                  .queue_bytes = 10'000'000,
                  .queue_frames = 100'000,
                  .mtu = 1500,
                  .loss_ppm = kPpm,
                  .duplicate_ppm = kPpm,
                  .corrupt_ppm = kPpm,
                  .reorder_ppm = kPpm,
                  .reorder_extra = milliseconds(1),
                  .jitter = milliseconds(1),
                  .jitter_reorders = true,
                  .ce_queue_bytes = 1};
  all.burst = {.to_bad_ppm = kPpm, .to_good_ppm = 0};
  LinkBed bed(all, 10);
  bed.link.send(numbered(0, 60));
  bed.link.clog(true);
  bed.link.partition(true);
  bed.link.faults_off();
  bed.world.run_for(milliseconds(10));
  const LinkCounters before = bed.link.counters();
  bed.send_many(1'000, 1'000, microseconds(10));
  const LinkCounters& after = bed.link.counters();
  EXPECT_EQ(after.delivered - before.delivered, 1'000u);
  EXPECT_EQ(after.duplicated + after.corrupted + after.reordered + after.ce_marked,
            before.duplicated + before.corrupted + before.reordered + before.ce_marked);
  EXPECT_EQ(bed.link.options().delay, milliseconds(1));
  EXPECT_EQ(bed.link.options().mtu, 1500u);
}

}  // namespace
}  // namespace paste::sim
