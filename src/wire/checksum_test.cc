// Goal: every way to compute the Internet checksum gives the same. Method: a naive twin that adds
// big-endian words one by one; every offset, length, and split of short ranges, random long ones.
#include "wire/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace paste::wire {
namespace {

constexpr uint64_t kSeed = 20240611;

uint32_t naive(Bytes bytes, uint32_t total = 0) {
  for (size_t i = 0; i < bytes.size(); i += 2) {
    total += load8(bytes, i) * 256u + (i + 1 < bytes.size() ? load8(bytes, i + 1) : 0u);
    total = (total & 0xFFFF) + (total >> 16);
  }
  while (total > 0xFFFF) total = (total & 0xFFFF) + (total >> 16);
  return total;
}

std::vector<std::byte> random_bytes(std::mt19937_64& random, size_t length) {
  std::vector<std::byte> bytes(length);
  // Half of the ranges are full of extremes, where carries are.
  const bool extreme = random() % 2 == 0;
  for (std::byte& b : bytes) {
    const uint64_t r = random();
    b = static_cast<std::byte>(extreme ? (r % 8 == 0 ? 0 : 0xFF) : r);
  }
  return bytes;
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (int v : values) bytes.push_back(static_cast<std::byte>(v));
  return bytes;
}

TEST(Checksum, Rfc1071Example) {
  const auto bytes = bytes_of({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7});
  EXPECT_EQ(sum(bytes), 0xddf2u);
  EXPECT_EQ(checksum(bytes), 0x220d);
  EXPECT_EQ(sum({}), 0u);
  EXPECT_EQ(checksum({}), 0xFFFF);
}

TEST(Checksum, AllOnesAndAllZeros) {
  for (size_t length : {1, 2, 31, 128, 4096, 65536}) {
    const std::vector<std::byte> zeros(length), ones(length, std::byte{0xFF});
    EXPECT_EQ(sum(zeros), 0u) << length;
    EXPECT_EQ(sum(ones), naive(ones)) << length;
    EXPECT_EQ(sum_scalar(ones), naive(ones)) << length;
    EXPECT_EQ(sum(ones, 0xFFFFFFFFu), naive(ones, 0xFFFF)) << length;
  }
}

void expect_equal(Bytes bytes, uint32_t initial) {
  const uint32_t want = naive(bytes, initial);
  ASSERT_EQ(sum(bytes, initial), want);
  ASSERT_EQ(sum_scalar(bytes, initial), want);
  std::vector<std::byte> copy(bytes.size() + 1, std::byte{0x5A});
  ASSERT_EQ(copy_and_sum(copy, bytes, initial), want);
  ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), copy.begin()));
  ASSERT_EQ(copy.back(), std::byte{0x5A});
}

TEST(Checksum, EveryAlignmentAndLengthEqualsTheNaiveTwin) {
  std::mt19937_64 random(kSeed);
  const auto bytes = random_bytes(random, 512);
  for (size_t offset = 0; offset < 64; ++offset) {
    for (size_t length = 0; length <= 300; ++length) {
      SCOPED_TRACE(testing::Message() << "offset " << offset << " length " << length);
      expect_equal(Bytes(bytes).subspan(offset, std::min(length, 512 - offset)), 0);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Checksum, RandomLongOnesEqualTheNaiveTwin) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 400; ++i) {
    const auto bytes = random_bytes(random, random() % 20000);
    const size_t offset = std::min<size_t>(random() % 64, bytes.size());
    expect_equal(Bytes(bytes).subspan(offset), static_cast<uint32_t>(random() & 0xFFFFF));
    if (HasFatalFailure()) return;
  }
}

TEST(Checksum, EverySplitIntoThreeAddsUp) {
  std::mt19937_64 random(kSeed);
  const auto bytes = random_bytes(random, 130);
  const Bytes all(bytes);
  const uint16_t want = static_cast<uint16_t>(~naive(all));
  for (size_t a = 0; a <= all.size(); ++a) {
    for (size_t b = a; b <= all.size(); ++b) {
      Sum total;
      total.add(all.first(a));
      total.add_partial(sum(all.subspan(a, b - a)), b - a);
      total.add(all.subspan(b));
      ASSERT_EQ(total.finish(), want) << a << ' ' << b;
    }
  }
}

TEST(Checksum, ManyOddPiecesAndWordsAddUp) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> whole;
    Sum total;
    for (int piece = 0; piece < 40; ++piece) {
      if (random() % 4 == 0) {
        const auto word = static_cast<uint32_t>(random());
        total.add32(word);
        whole.resize(whole.size() + 4);
        store32(whole, whole.size() - 4, word);
      } else {
        const auto bytes = random_bytes(random, random() % 300);
        total.add(bytes);
        whole.insert(whole.end(), bytes.begin(), bytes.end());
      }
    }
    ASSERT_EQ(total.finish(), static_cast<uint16_t>(~naive(whole)));
    ASSERT_EQ(total.partial(), naive(whole));
  }
}

TEST(Checksum, UpdateEqualsTheFullComputation) {
  // RFC 1624 §4's example: where equation 2 gives the wrong zero.
  EXPECT_EQ(update(0xDD2F, 0x5555, 0x3285), 0x0000);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20000; ++i) {
    auto bytes = random_bytes(random, 2 * (2 + random() % 20));
    store16(bytes, 0, 0x4500);  // something that is not zero stays
    const uint16_t before = checksum(bytes);
    const size_t at = 2 + 2 * (random() % (bytes.size() / 2 - 1));
    const uint16_t old16 = load16(bytes, at);
    const auto new16 = static_cast<uint16_t>(i % 3 == 0 ? random() % 2 * 0xFFFF : random());
    store16(bytes, at, new16);
    ASSERT_EQ(update(before, old16, new16), checksum(bytes)) << i;
  }
}

TEST(Checksum, PseudoHeadersEqualTheirBytes) {
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 1000; ++i) {
    auto bytes = random_bytes(random, 40);
    bytes[0] = std::byte{0x20};  // not mapped
    bytes[16] = std::byte{0x20};
    const auto length = static_cast<uint32_t>(random() % 200000);
    const auto protocol = static_cast<uint8_t>(random());
    store32(bytes, 32, length);
    store32(bytes, 36, protocol);
    EXPECT_EQ(pseudo_header_sum(IpAddress::load_v6(bytes, 0), IpAddress::load_v6(bytes, 16),
                                protocol, length),
              naive(bytes));
    auto four = random_bytes(random, 12);
    store8(four, 8, 0);
    store8(four, 9, protocol);
    store16(four, 10, static_cast<uint16_t>(length));
    EXPECT_EQ(pseudo_header_sum(IpAddress::load_v4(four, 0), IpAddress::load_v4(four, 4), protocol,
                                length & 0xFFFF),
              naive(four));
  }
}

}  // namespace
}  // namespace paste::wire
