// Marking. Method: headers with random fields and a checksum summed from scratch; after the mark
// the checksum summed from scratch must be right again and nothing else may have changed.
#include "port/sim/ecn.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "port/sim/prng.h"

namespace paste::sim {
namespace {

// RFC 1071 over the 20 bytes at `ip`: 0xffff when the checksum field is right.
uint32_t sum_of(const Frame& frame, size_t ip) {
  uint32_t sum = 0;
  for (size_t i = 0; i < 20; i += 2) {
    sum += std::to_integer<uint32_t>(frame[ip + i]) << 8 |
           std::to_integer<uint32_t>(frame[ip + i + 1]);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

Frame ipv4(Prng& prng, unsigned ecn, bool vlan) {
  Frame frame(vlan ? 64 : 60);
  const size_t ip = vlan ? 18 : 14;
  for (std::byte& b : frame) b = static_cast<std::byte>(prng.below(256));
  if (vlan) {
    frame[12] = std::byte{0x81};
    frame[13] = std::byte{0x00};
  }
  frame[ip - 2] = std::byte{0x08};
  frame[ip - 1] = std::byte{0x00};
  frame[ip] = std::byte{0x45};
  frame[ip + 1] = static_cast<std::byte>(prng.below(64) << 2 | ecn);
  frame[ip + 10] = frame[ip + 11] = std::byte{0};
  const uint32_t checksum = ~sum_of(frame, ip) & 0xffff;
  frame[ip + 10] = static_cast<std::byte>(checksum >> 8);
  frame[ip + 11] = static_cast<std::byte>(checksum & 0xff);
  return frame;
}

TEST(Ecn, MarksIpv4AndRepairsTheChecksum) {
  Prng prng(21);
  std::printf("SEED=21\n");
  for (int i = 0; i < 20'000; ++i) {
    const auto ecn = static_cast<unsigned>(i % 4);
    const bool vlan = i % 8 >= 4;
    const size_t ip = vlan ? 18 : 14;
    const Frame before = ipv4(prng, ecn, vlan);
    Frame frame = before;
    ASSERT_EQ(mark_ce(frame), ecn == 1 || ecn == 2);
    ASSERT_EQ(sum_of(frame, ip), 0xffffu) << i;
    ASSERT_EQ(frame[ip + 1], ecn == 0 ? before[ip + 1] : before[ip + 1] | std::byte{3});
    frame[ip + 1] = before[ip + 1];
    frame[ip + 10] = before[ip + 10];
    frame[ip + 11] = before[ip + 11];
    ASSERT_EQ(frame, before);
  }
}

TEST(Ecn, MarksIpv6) {
  for (unsigned ecn = 0; ecn < 4; ++ecn) {
    Frame frame(60);
    frame[12] = std::byte{0x86};
    frame[13] = std::byte{0xdd};
    frame[14] = std::byte{0x6a};
    frame[15] = static_cast<std::byte>(0xc5 | ecn << 4);
    Frame expected = frame;
    if (ecn != 0) expected[15] = std::byte{0xf5};
    EXPECT_EQ(mark_ce(frame), ecn == 1 || ecn == 2);
    EXPECT_EQ(frame, expected);
  }
}

TEST(Ecn, LeavesEverythingElseAlone) {
  Prng prng(22);
  const Frame good = ipv4(prng, 2, false);
  for (size_t length = 0; length < 34; ++length) {
    Frame cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(length));
    const Frame before = cut;
    EXPECT_FALSE(mark_ce(cut)) << length;
    EXPECT_EQ(cut, before);
  }
  Frame arp = good;
  arp[13] = std::byte{0x06};
  EXPECT_FALSE(mark_ce(arp));
  Frame version = good;
  version[14] = std::byte{0x65};
  EXPECT_FALSE(mark_ce(version));
  Frame shortest(good.begin(), good.begin() + 34);
  EXPECT_TRUE(mark_ce(shortest));
}

}  // namespace
}  // namespace paste::sim
