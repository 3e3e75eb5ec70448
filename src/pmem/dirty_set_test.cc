// Goal: the runs of a ticket are exactly the 4 KiB blocks its flushes touched, ascending, none
// longer than 1 MiB, and the next ticket starts empty.
// Method: random flushes against std::set, several tickets on one object; nothing is reallocated.
#include "pmem/dirty_set.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace paste::pmem {
namespace {

std::set<uint32_t> blocks_of(std::span<const BlockRun> runs) {
  std::set<uint32_t> blocks;
  uint64_t next = 0;
  for (const BlockRun& run : runs) {
    EXPECT_GE(run.first, next);
    EXPECT_GT(run.count, 0u);
    EXPECT_LE(run.count, DirtySet::kRunBlocksMax);
    for (uint32_t i = 0; i < run.count; ++i) blocks.insert(run.first + i);
    next = uint64_t{run.first} + run.count;
  }
  return blocks;
}

RC_GTEST_PROP(DirtySet, MatchesSetOfBlocks, ()) {
  constexpr uint64_t kBlocks = 1000;
  DirtySet dirty(kBlocks);
  for (int ticket = 0; ticket < 3; ++ticket) {
    std::set<uint32_t> expected;
    const auto flushes = *rc::gen::inRange(0, 40);
    for (int i = 0; i < flushes; ++i) {
      const auto offset = *rc::gen::inRange<uint64_t>(0, kBlocks * kPage);
      const auto room = kBlocks * kPage - offset;
      const auto n = std::min(
          room, *rc::gen::element<uint64_t>(0, 1, 64, 4095, 4096, 4097, 9000, 600 * kPage));
      dirty.mark(offset, n);
      for (uint64_t at = offset; at < offset + n; ++at) {
        expected.insert(static_cast<uint32_t>(at / kPage));
        at = at / kPage * kPage + kPage - 1;
      }
    }
    RC_ASSERT(dirty.empty() == expected.empty());
    RC_ASSERT(blocks_of(dirty.take()) == expected);
    RC_ASSERT(dirty.empty());
  }
}

TEST(DirtySet, LongRunsAreSplitAtOneMebibyte) {
  DirtySet dirty(1024);
  dirty.mark(10, 600 * kPage);
  const auto runs = dirty.take();
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].first, 0u);
  EXPECT_EQ(runs[0].count, 256u);
  EXPECT_EQ(runs[1].count, 256u);
  EXPECT_EQ(runs[2].count, 601u - 512u);
}

TEST(DirtySet, WorstCaseFitsTheReserve) {
  DirtySet dirty(1001);
  for (uint64_t block = 0; block < 1001; block += 2) dirty.mark(block * kPage, 1);
  const auto first = dirty.take();
  EXPECT_EQ(first.size(), 501u);
  const BlockRun* place = first.data();
  for (uint64_t block = 1001; block-- > 0;) dirty.mark(block * kPage, 1);
  EXPECT_EQ(dirty.take().data(), place) << "the runs were moved: something was allocated";
}

}  // namespace
}  // namespace paste::pmem
