// The queue of slices to send. Method: each byte has an identity, its buffer and offset; a deque of
// identities is the twin. Random appends, ranges and acknowledgements, from sequence numbers that
// wrap.
#include "tcp/send_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <vector>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

using Byte = std::pair<BufferName, uint32_t>;

std::vector<Byte> bytes_of(std::span<const Slice> slices) {
  std::vector<Byte> bytes;
  for (const Slice& s : slices) {
    for (uint32_t i = 0; i < s.length; ++i) bytes.emplace_back(s.buffer, s.offset + i);
  }
  return bytes;
}

TEST(SendQueue, RefusesWhatDoesNotFit) {
  SendQueue queue(Seq{0xfffffff0U}, 3);
  EXPECT_EQ(queue.append({1, 0, 0}, 0).error().code(), Code::invalid);
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(queue.append({1, 0, 10}, i));
  EXPECT_EQ(queue.append({1, 0, 10}, 9).error().code(), Code::busy);
  EXPECT_EQ(queue.bytes(), 30U);
  EXPECT_EQ(queue.acknowledge(Seq{0xfffffff0U} + 10, [](Slice, uint64_t c) { EXPECT_EQ(c, 0U); }),
            10U);
  EXPECT_TRUE(queue.append({1, 0, 10}, 9));
}

TEST(SendQueue, IsBoundedInBytes) {
  SendQueue queue(Seq{5}, 1U << 20);
  uint32_t n = 0;
  while (queue.append({1, 0, 65535}, n)) ++n;
  EXPECT_EQ(n, (SendQueue::kBytesMax - 1) / 65535);
  EXPECT_EQ(queue.append({1, 0, 65535}, n).error().code(), Code::too_large);
}

TEST(SendQueue, OutOfRange) {
  SendQueue queue(Seq{100}, 8);
  std::array<Slice, 4> out;
  EXPECT_EQ(queue.range(Seq{100}, 10, out).bytes, 0U);
  ASSERT_TRUE(queue.append({7, 5, 20}, 1));
  EXPECT_EQ(queue.range(Seq{99}, 10, out).bytes, 0U);
  EXPECT_EQ(queue.range(Seq{120}, 10, out).bytes, 0U);
  const auto got = queue.range(Seq{110}, 100, out);
  EXPECT_EQ(got.slices, 1U);
  EXPECT_EQ(got.bytes, 10U);
  EXPECT_EQ(out[0], (Slice{7, 15, 10}));
  int released = 0;
  const auto release = [&](Slice s, uint64_t) {
    EXPECT_EQ(s, (Slice{7, 5, 20})) << "whole, as appended";
    ++released;
  };
  EXPECT_EQ(queue.acknowledge(Seq{90}, release), 0U);
  EXPECT_EQ(queue.acknowledge(Seq{110}, release), 10U);
  EXPECT_EQ(released, 0);
  EXPECT_EQ(queue.range(Seq{100}, 10, out).bytes, 0U);
  EXPECT_EQ(queue.acknowledge(Seq{121}, release), 10U) << "a FIN's number is not of this queue";
  EXPECT_EQ(released, 1);
  EXPECT_EQ(queue.begin(), Seq{120});
}

void run_history(TestRandom& random, Seq start) {
  const uint32_t limit = 1 + random.below(70);
  SendQueue queue(start, limit);
  std::deque<Byte> twin;
  std::deque<std::pair<uint64_t, uint64_t>> ends;  // stream offset behind a slice, its cookie
  uint64_t acked = 0, appended = 0, cookie = 0;
  Seq una = start;
  for (int step = 0; step < 400; ++step) {
    if (random.chance(50)) {
      const Slice slice{1 + random.below(1000), static_cast<uint16_t>(random.below(2000)),
                        static_cast<uint16_t>(1 + random.below(random.chance(50) ? 10 : 1500))};
      ASSERT_EQ(queue.append(slice, ++cookie).has_value(), ends.size() < limit) << random.text();
      if (ends.size() == limit) continue;
      for (const Byte& b : bytes_of({&slice, 1})) twin.push_back(b);
      appended += slice.length;
      ends.emplace_back(appended, cookie);
    } else if (random.chance(70) && !twin.empty()) {
      std::array<Slice, 16> out;
      const uint32_t skip = random.below(static_cast<uint32_t>(twin.size()));
      const uint32_t length = random.below(3000);
      const uint32_t room = 1 + random.below(16);
      const auto got = queue.range(una + skip, length, {out.data(), room});
      const auto bytes = bytes_of({out.data(), got.slices});
      ASSERT_EQ(bytes.size(), got.bytes) << random.text();
      const auto reach = std::min<size_t>(length, twin.size() - skip);
      ASSERT_TRUE(bytes.size() == reach || (bytes.size() < reach && got.slices == room))
          << random.text();
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), twin.begin() + skip)) << random.text();
    } else if (!twin.empty()) {
      const uint32_t n = random.below(static_cast<uint32_t>(twin.size()) + 1);
      una += n;
      acked += n;
      twin.erase(twin.begin(), twin.begin() + n);
      ASSERT_EQ(queue.acknowledge(una,
                                  [&](Slice, uint64_t c) {
                                    ASSERT_FALSE(ends.empty());
                                    ASSERT_EQ(c, ends.front().second) << random.text();
                                    ASSERT_LE(ends.front().first, acked);
                                    ends.pop_front();
                                  }),
                n);
      ASSERT_TRUE(ends.empty() || ends.front().first > acked) << random.text();
    }
    ASSERT_EQ(queue.bytes(), twin.size());
    ASSERT_EQ(queue.slices(), ends.size());
    ASSERT_EQ(queue.begin(), una);
    ASSERT_LE(queue.capacity(), 128U);
  }
}

TEST(SendQueue, AgreesWithBytes) {
  TestRandom random(793);
  for (int run = 0; run < 60; ++run) {
    ASSERT_NO_FATAL_FAILURE(run_history(random, kStarts[run % 3])) << random.text();
  }
}

}  // namespace
}  // namespace paste::tcp
