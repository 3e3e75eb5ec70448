// Goal: SipHash is the published function; ISNs, offsets and ports derived from it are what their
// RFCs ask for. Method: the published vectors (key 00…0f, input 00…n-1), then properties.
#include "tcp/siphash.h"

#include <algorithm>
#include <set>
#include <vector>

#include "tcp/isn.h"
#include "tcp/ports.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

constexpr SipKey kVectorKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

FourTuple tuple(uint8_t host, uint16_t port = 80) {
  return {ipv4_mapped(10, 0, 0, 1), ipv4_mapped(10, 0, 0, host), 5000, port};
}

TEST(SipHash, PublishedVectors) {
  const uint64_t want[] = {0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
                           0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
                           0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462};
  std::vector<std::byte> input;
  for (size_t n = 0; n < std::size(want); ++n) {
    EXPECT_EQ(siphash24(kVectorKey, Bytes(input)), want[n]) << n;
    input.push_back(static_cast<std::byte>(n));
  }
  while (input.size() < 15) input.push_back(static_cast<std::byte>(input.size()));
  EXPECT_EQ(siphash24(kVectorKey, Bytes(input)), 0xa129ca6149be45e5u);
}

TEST(SipHash, WordsAreTheirBytes) {
  const uint64_t words[] = {1, 0x8877665544332211, 3};
  EXPECT_EQ(siphash24(kVectorKey, std::span<const uint64_t>(words)),
            siphash24(kVectorKey, std::as_bytes(std::span(words))));
}

TEST(Isn, ClockAndKeyedPart) {
  const SipKey key{1, 2};
  const Instant now{1'000'000'000};
  const Seq isn = initial_sequence(key, tuple(1), now);
  EXPECT_EQ(initial_sequence(key, tuple(1), now + std::chrono::microseconds(4)), isn + 1);
  EXPECT_EQ(initial_sequence(key, tuple(1), now + std::chrono::seconds(1)), isn + 250000);
  std::set<uint32_t> seen;
  for (uint16_t port = 0; port < 1000; ++port) {
    seen.insert(initial_sequence(key, tuple(1, port), now).value);
    seen.insert(timestamp_offset(key, tuple(1, port)));
  }
  EXPECT_GE(seen.size(), 1999u);
  EXPECT_NE(initial_sequence({1, 3}, tuple(1), now), isn);
}

TEST(TupleHash, EachFieldCounts) {
  const TupleHash hash{{1, 2}};
  const FourTuple base = tuple(1);
  std::set<size_t> seen{hash(base), TupleHash{{1, 3}}(base)};
  for (size_t i = 0; i < 16; ++i) {
    FourTuple other = base;
    other.local[i] ^= 1;
    seen.insert(hash(other));
    other = base;
    other.remote[i] ^= 1;
    seen.insert(hash(other));
  }
  FourTuple swapped = base;
  std::swap(swapped.local_port, swapped.remote_port);
  seen.insert(hash(swapped));
  EXPECT_EQ(seen.size(), 35u);
}

TEST(Ports, EachPortOnceThenNone) {
  Ports ports({100, 199}, {1, 2}, {3, 4});
  std::set<uint16_t> used;
  const auto free = [&](uint16_t port) { return !used.contains(port); };
  for (int i = 0; i < 100; ++i) {
    const auto port = ports.choose(tuple(1), free);
    ASSERT_TRUE(port && *port >= 100 && *port <= 199);
    ASSERT_TRUE(used.insert(*port).second);
  }
  EXPECT_EQ(ports.choose(tuple(1), free), std::nullopt);
  used.erase(142);
  EXPECT_EQ(ports.choose(tuple(1), free), 142);
}

TEST(Ports, UniformOverDestinationsAndNewAfterARestart) {
  const auto any = [](uint16_t) { return true; };
  Ports ports({1000, 1063}, {1, 2}, {3, 4});
  Ports restarted({1000, 1063}, {5, 6}, {7, 8});
  std::vector<int> counts(64);
  int same = 0;
  for (uint32_t i = 0; i < 64 * 200; ++i) {
    const FourTuple t = tuple(static_cast<uint8_t>(i), static_cast<uint16_t>(i >> 8));
    const uint16_t port = *ports.choose(t, any);
    ++counts[port - 1000u];
    same += port == *restarted.choose(t, any) ? 1 : 0;
  }
  // 200 expected; standard deviation 14.
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 130);
  EXPECT_LT(*std::max_element(counts.begin(), counts.end()), 270);
  EXPECT_GT(same, 100);
  EXPECT_LT(same, 300);
}

TEST(Ports, OneDestinationSeesPortsInOrder) {
  const auto any = [](uint16_t) { return true; };
  Ports ports({0, 65535}, {1, 2}, {3, 4});
  const uint16_t first = *ports.choose(tuple(1), any);
  EXPECT_EQ(*ports.choose(tuple(1), any), static_cast<uint16_t>(first + 1));
}

}  // namespace
}  // namespace paste::tcp
