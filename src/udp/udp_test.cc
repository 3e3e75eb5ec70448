// Datagrams there and back, and every reason to refuse one. Method: what emit() writes is given to
// arrive(), whole and with one thing wrong at a time.
#include "udp/udp.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "wire/udp.h"

namespace paste::udp {
namespace {

using wire::IpAddress;
using Frame = std::vector<std::byte>;

const IpAddress kA4 = IpAddress::from_v4(0xC0000201), kB4 = IpAddress::from_v4(0xC0000202);
const IpAddress kA6{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
const IpAddress kB6{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
constexpr size_t kBufferSize = 2048;

struct Memory {
  std::vector<std::byte> bytes = std::vector<std::byte>(4 * kBufferSize);
  Memory() {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  }
};

Frame make(const IpAddress& from, const IpAddress& to, std::span<const Slice> payload) {
  static const Memory memory;
  Frame frame(kHeadersMax);
  const auto head = emit({.local = from, .remote = to, .local_port = 5000, .remote_port = 53},
                         payload, memory.bytes, kBufferSize, 1500, frame);
  EXPECT_TRUE(head.has_value());
  frame.resize(*head);
  for (const Slice s : payload) {
    const auto at =
        memory.bytes.begin() + static_cast<std::ptrdiff_t>(s.buffer * kBufferSize) + s.offset;
    frame.insert(frame.end(), at, at + s.length);
  }
  return frame;
}

Refused refusal(Endpoints& endpoints, const Frame& frame) {
  Refused why{};
  EXPECT_FALSE(endpoints.arrive(frame, why).has_value());
  EXPECT_GT(endpoints.refused(why), 0U);
  return why;
}

// RFC 768, RFC 8200 §8.1: over both versions, from slices of odd lengths, too.
TEST(Udp, ThereAndBack) {
  Endpoints endpoints;
  ASSERT_TRUE(endpoints.bind(53, 7).has_value());
  const std::vector<std::vector<Slice>> payloads = {
      {}, {{0, 0, 1}}, {{0, 3, 100}}, {{0, 3, 101}, {1, 5, 33}, {2, 0, 7}}, {{3, 0, 1400}}};
  for (const auto& [from, to] : {std::pair(kA4, kB4), std::pair(kA6, kB6)}) {
    for (const auto& payload : payloads) {
      const Frame frame = make(from, to, payload);
      Refused why{};
      const auto got = endpoints.arrive(frame, why);
      ASSERT_TRUE(got.has_value());
      EXPECT_EQ(got->endpoint, 7U);
      EXPECT_EQ(got->local, to);
      EXPECT_EQ(got->remote, from);
      EXPECT_EQ(got->remote_port, 5000);
      EXPECT_EQ(size_t{got->payload.offset} + got->payload.length, frame.size());
    }
  }
}

TEST(Udp, EachFaultHasItsName) {
  Endpoints endpoints;
  ASSERT_TRUE(endpoints.bind(53, 7).has_value());
  const Slice payload[] = {{0, 0, 100}};
  for (const bool v4 : {true, false}) {
    const Frame good = v4 ? make(kA4, kB4, payload) : make(kA6, kB6, payload);
    Frame frame = good;
    frame.back() ^= std::byte{1};
    EXPECT_EQ(refusal(endpoints, frame), Refused::bad_checksum);  // RFC 1122 §4.1.3.4
    for (size_t length = 0; length < good.size(); ++length) {
      EXPECT_EQ(refusal(endpoints, Frame(good.begin(), good.begin() + static_cast<long>(length))),
                Refused::malformed);
    }
  }
  // RFC 8200 §8.1: a checksum is needed; RFC 768: not over IPv4.
  const size_t udp4 = wire::kEthernetHeaderLength + wire::kIpv4HeaderLength;
  Frame none4 = make(kA4, kB4, payload), none6 = make(kA6, kB6, payload);
  wire::store16(none4, udp4 + 6, 0);
  wire::store16(none6, udp4 + 20 + 6, 0);
  Refused why{};
  EXPECT_TRUE(endpoints.arrive(none4, why).has_value());
  EXPECT_EQ(refusal(endpoints, none6), Refused::bad_checksum);
  // RFC 1122 §4.1.3.6, §4.1.3.1.
  EXPECT_EQ(refusal(endpoints, make(IpAddress::from_v4(0xE0000001), kB4, payload)),
            Refused::bad_address);
  endpoints.unbind(53);
  EXPECT_EQ(refusal(endpoints, make(kA4, kB4, payload)), Refused::no_port);
  // A fragment.
  Frame part = make(kA4, kB4, payload);
  wire::store16(part, wire::kEthernetHeaderLength + 6, 0x0010);
  wire::store16(part, wire::kEthernetHeaderLength + 10, 0);
  wire::store16(part, wire::kEthernetHeaderLength + 10,
                wire::checksum(Bytes(part).subspan(wire::kEthernetHeaderLength, 20)));
  EXPECT_EQ(refusal(endpoints, part), Refused::fragment);
}

TEST(Udp, WrongUseIsAnError) {
  Endpoints endpoints;
  EXPECT_EQ(endpoints.bind(0, 1).error().code(), Code::invalid);
  ASSERT_TRUE(endpoints.bind(9, 1).has_value());
  EXPECT_EQ(endpoints.bind(9, 2).error().code(), Code::in_use);
  const Memory memory;
  Frame headers(kHeadersMax);
  const Slice large[] = {{0, 0, 1473}};
  // Nothing is sent in fragments: 1472 bytes fit into 1500, 1473 do not.
  EXPECT_EQ(emit({.local = kA4, .remote = kB4}, large, memory.bytes, kBufferSize, 1500, headers)
                .error()
                .code(),
            Code::too_large);
  EXPECT_EQ(emit({.local = kA4, .remote = kB6}, {}, memory.bytes, kBufferSize, 1500, headers)
                .error()
                .code(),
            Code::invalid);
}

}  // namespace
}  // namespace paste::udp
