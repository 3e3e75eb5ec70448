// Goal: no byte of a flushed range lies on a line that was not written back, whatever the range's
// alignment (the classic bug is to step 64 bytes from an unaligned start and miss the last line).
// Method: every offset in two lines and every length up to four lines against a byte-by-byte twin;
// then each instruction that this CPU has is executed over such ranges.
#include "pmem/flush.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace paste::pmem {
namespace {

TEST(LinesOf, CoversEveryByteAndNothingElse) {
  constexpr uintptr_t kBase = 0x10000;
  for (size_t offset = 0; offset < 2 * kCacheLine; ++offset) {
    for (size_t n = 0; n <= 4 * kCacheLine; ++n) {
      std::set<uintptr_t> expected;
      for (size_t i = 0; i < n; ++i) expected.insert((kBase + offset + i) / kCacheLine);
      std::set<uintptr_t> covered;
      const LineRange lines = lines_of(kBase + offset, n);
      ASSERT_EQ(lines.first % kCacheLine, 0u);
      ASSERT_EQ(lines.end % kCacheLine, 0u);
      for (uintptr_t a = lines.first; a != lines.end; a += kCacheLine) {
        covered.insert(a / kCacheLine);
      }
      ASSERT_EQ(covered, expected) << "offset " << offset << " length " << n;
    }
  }
}

TEST(CacheFlush, EveryInstructionOfThisCpuRunsAndKeepsTheBytes) {
  std::vector<std::byte> memory(1024);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i);
  const std::vector<std::byte> before = memory;
  int tried = 0;
  for (const char* name : {"clwb", "clflushopt", "clflush", "none"}) {
    const CacheFlush* flush = cache_flush_named(name);
    if (flush == nullptr) continue;
    ++tried;
    for (size_t n : {0u, 1u, 63u, 64u, 65u, 700u}) flush->write_back(memory.data() + 61, n);
    store_fence();
  }
  EXPECT_GE(tried, 1);
  EXPECT_EQ(memory, before);
}

TEST(CacheFlush, ChoosesTheBestThatTheCpuHas) {
  for (const char* name : {"clwb", "clflushopt", "clflush", "none"}) {
    if (const CacheFlush* flush = cache_flush_named(name)) {
      EXPECT_EQ(cache_flush().name, flush->name);
      return;
    }
  }
  FAIL() << "no implementation at all";
}

}  // namespace
}  // namespace paste::pmem
