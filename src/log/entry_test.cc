// The checksummed parts of a log, byte by byte. Method: any single changed bit, and any other
// identity (pool, log, LSN, place), must be noticed.
#include "log/entry.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/crc32c.h"

namespace paste::log {
namespace {

Entry sample() {
  Entry entry{.buffer = 70,
              .offset = 14,
              .type = 3,
              .flags = 0,
              .length = 0,
              .crc = 0,
              .time_ns = 1234567890123,
              .lag = 5,
              .auxiliary = 9};
  entry.crc = base::crc32c_finish(entry_state(log_seed(77, 3), 61, entry));
  return entry;
}

TEST(Entry, ChecksumCoversIdentityAndEveryBit) {
  const Entry good = sample();
  const uint32_t seed = log_seed(77, 3);
  EXPECT_TRUE(mark_valid(seed, 61, good, EntryType::link));
  EXPECT_FALSE(mark_valid(seed, 61, good, EntryType::seal));
  EXPECT_FALSE(mark_valid(seed, 62, good, EntryType::link));
  EXPECT_FALSE(mark_valid(log_seed(77, 4), 61, good, EntryType::link));
  EXPECT_FALSE(mark_valid(log_seed(78, 3), 61, good, EntryType::link));
  for (size_t bit = 0; bit < sizeof good * 8; ++bit) {
    Entry bad = good;
    reinterpret_cast<uint8_t*>(&bad)[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(mark_valid(seed, 61, bad, EntryType::link)) << "bit " << bit;
  }
}

TEST(Entry, VouchesForItsLsnMinusItsLag) {
  Entry entry{};
  EXPECT_EQ(vouched_by(10, entry), 10u);
  entry.lag = 3;
  EXPECT_EQ(vouched_by(10, entry), 7u);
  entry.lag = 10;
  EXPECT_EQ(vouched_by(10, entry), 0u);
  entry.lag = 11;
  EXPECT_EQ(vouched_by(10, entry), 0u);
}

TEST(Bits, CountsAndFindsTheHighest) {
  for (uint32_t i = 0; i < 128; ++i) {
    for (uint32_t j = i; j < 128; j += 7) {
      Bits bits;
      bits.set(i);
      bits.set(j);
      EXPECT_EQ(bits.highest(), j);
      EXPECT_EQ(bits.count(0, 128), i == j ? 1u : 2u);
      EXPECT_EQ(bits.count(i, j), i == j ? 0u : 1u);
      EXPECT_EQ(bits.count(i, i + 1), 1u);
      EXPECT_EQ(bits.count(j + 1, 128), 0u);
    }
  }
}

TEST(Bits, CheckWordIsZeroOnlyWhileNothingIsDeleted) {
  Bits bits;
  EXPECT_EQ(deleted_check(5, 62, bits), 0u);
  bits.set(60);
  EXPECT_NE(deleted_check(5, 62, bits), 0u);
  EXPECT_NE(deleted_check(5, 62, bits), deleted_check(5, 123, bits));
  EXPECT_NE(deleted_check(5, 62, bits), deleted_check(6, 62, bits));
}

}  // namespace
}  // namespace paste::log
