// Goal: IPv4 and IPv6 headers, fragments and extension headers, and UDP. Method: tables with one
// fault each, every truncation, random round trips (RapidCheck prints its seed).
#include <gtest/gtest.h>

#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/test_bytes.h"
#include "wire/udp.h"

namespace paste::wire {
namespace {

// Sets the checksum right again, so that a test reaches what it means.
Buffer repaired(Buffer bytes) {
  const size_t length = std::min((load8(bytes, 0) & 15u) * size_t{4}, bytes.size());
  store16(bytes, 10, 0);
  store16(bytes, 10, checksum(Bytes(bytes).first(length)));
  return bytes;
}
const Buffer kV4 =
    repaired(hex("45 b8 001c 1234 4000 40 11 0000 c0000201 c6336401 0102030405060708"));

Buffer v4_with(size_t at, uint8_t value) {
  Buffer bytes = kV4;
  store8(bytes, at, value);
  return repaired(bytes);
}

TEST(Ipv4, Fields) {
  const auto parsed = Ipv4Packet::parse(join(kV4, hex("0000 0000")));  // padded by the link
  ASSERT_TRUE(parsed);
  Ipv4Header want{IpAddress::from_v4(0xC0000201), IpAddress::from_v4(0xC6336401)};
  want.id = 0x1234;
  want.traffic_class = 0xB8;
  want.protocol = kProtocolUdp;
  EXPECT_EQ(parsed->header, want);
  EXPECT_EQ(parsed->header_length, 20);
  EXPECT_EQ(parsed->payload.size(), 8u);
  EXPECT_FALSE(parsed->header.is_fragment());
}

TEST(Ipv4, EachFault) {
  EXPECT_EQ(Ipv4Packet::parse(v4_with(0, 0x65)).error(), Malformed::ipv4_version);
  EXPECT_EQ(Ipv4Packet::parse(v4_with(0, 0x44)).error(), Malformed::ipv4_header_length);
  EXPECT_EQ(Ipv4Packet::parse(v4_with(0, 0x48)).error(), Malformed::ipv4_header_length);
  EXPECT_EQ(Ipv4Packet::parse(v4_with(3, 0x13)).error(), Malformed::ipv4_total_length);
  EXPECT_EQ(Ipv4Packet::parse(v4_with(3, 0x1d)).error(), Malformed::ipv4_total_length);
  for (size_t at = 0; at < 20; ++at) {  // each byte is covered by the checksum
    Buffer bytes = kV4;
    bytes[at] ^= std::byte{1};
    EXPECT_FALSE(Ipv4Packet::parse(bytes)) << at;
  }
  for (size_t n = 0; n < kV4.size(); ++n) {
    EXPECT_EQ(Ipv4Packet::parse(head(kV4, n)).error(),
              n < 20 ? Malformed::ipv4_truncated : Malformed::ipv4_total_length);
  }
}

TEST(Ipv4, ReservedBitAndFragments) {
  EXPECT_EQ(Ipv4Packet::parse(v4_with(6, 0xC0))->header, Ipv4Packet::parse(kV4)->header);
  EXPECT_TRUE(Ipv4Packet::parse(v4_with(6, 0x20))->header.more_fragments);
  EXPECT_TRUE(Ipv4Packet::parse(v4_with(6, 0x20))->header.is_fragment());
  EXPECT_EQ(Ipv4Packet::parse(v4_with(7, 3))->header.fragment_offset, 24);
  Buffer odd = v4_with(6, 0x20);
  odd[3] = std::byte{0x1b};  // seven bytes, and more to come
  EXPECT_EQ(Ipv4Packet::parse(repaired(odd)).error(), Malformed::ipv4_fragment);
  Buffer beyond = v4_with(6, 0x1F);
  beyond[7] = std::byte{0xFF};
  EXPECT_EQ(Ipv4Packet::parse(repaired(beyond)).error(), Malformed::ipv4_fragment);
}

// RFC 9293 MUST-50.
TEST(Ipv4, OptionsAreSkipped) {
  Buffer bytes = hex("46 00 001a 0000 0000 40 06 0000 c0000201 c6336401 94040000 abcd");
  const auto parsed = Ipv4Packet::parse(repaired(bytes));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->header_length, 24);
  EXPECT_EQ(parsed->payload.size(), 2u);
}

TEST(Ipv4, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    Ipv4Header header{any_v4(), any_v4()};
    header.id = *rc::gen::arbitrary<uint16_t>();
    header.traffic_class = *rc::gen::arbitrary<uint8_t>();
    header.ttl = *rc::gen::arbitrary<uint8_t>();
    header.protocol = *rc::gen::arbitrary<uint8_t>();
    header.dont_fragment = *rc::gen::arbitrary<bool>();
    header.more_fragments = *rc::gen::arbitrary<bool>();
    header.fragment_offset = static_cast<uint16_t>(*rc::gen::inRange(0, 1000) * 8);
    Buffer payload = any_bytes(80);
    if (header.more_fragments) payload.resize((payload.size() / 8 + 1) * 8);
    Buffer bytes(kIpv4HeaderLength);
    RC_ASSERT(emit(header, payload.size(), bytes) == bytes.size());
    const Buffer whole = join(bytes, payload);
    const auto parsed = Ipv4Packet::parse(whole);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(parsed->payload.size() == payload.size());
  }));
}

Buffer v6_with(uint8_t next, std::string_view rest) {
  const Buffer payload = hex(rest);
  Ipv6Header header;
  header.source = IpAddress::load_v6(hex("20010db8000000000000000000000001"), 0);
  header.destination = IpAddress::load_v6(hex("20010db8000000000000000000000002"), 0);
  header.protocol = next;
  Buffer bytes(kIpv6HeaderLength);
  emit(header, payload.size(), bytes);
  return join(bytes, payload);
}

TEST(Ipv6, ExtensionsAreWalked) {
  struct Case {
    uint8_t next;
    const char* rest;
    uint8_t protocol;
    size_t extensions;
  };
  const Case cases[] = {
      {6, "aabb", 6, 0},
      {59, "", 59, 0},
      {0, "06 00 0104 00000000 aabb", 6, 8},
      {0, "3c 00 0502 0000 0100 06 01 1e0a 0000000000000000 00000000 aabb", 6, 24},
      {43, "11 00 04 00 00000000 aabb", 17, 8},
      {44, "06 00 0000 00000001 aabb", 6, 8},
      {44, "06 ff 0006 00000001 aabb", 6, 8},  // reserved bits are ignored
  };
  for (const Case& c : cases) {
    const Buffer bytes = v6_with(c.next, c.rest);
    const auto parsed = Ipv6Packet::parse(bytes);
    ASSERT_TRUE(parsed) << c.rest << ' ' << to_string(parsed.error());
    EXPECT_EQ(parsed->header.protocol, c.protocol);
    EXPECT_EQ(parsed->extensions_length, c.extensions) << c.rest;
    EXPECT_EQ(parsed->payload.size(), bytes.size() - 40 - c.extensions);
    EXPECT_FALSE(parsed->is_fragment());
    for (size_t n = 0; n < bytes.size(); ++n) {
      ASSERT_FALSE(Ipv6Packet::parse(head(bytes, n))) << n;
    }
    for (size_t n = 40; n < 40 + c.extensions; ++n) {  // cut, with a right payload length
      Buffer cut = head(bytes, n);
      store16(cut, 4, static_cast<uint16_t>(n - 40));
      ASSERT_FALSE(Ipv6Packet::parse(cut)) << c.rest << ' ' << n;
    }
  }
}

TEST(Ipv6, FragmentsEndTheWalk) {
  const Buffer bytes = v6_with(44, "3c 00 0009 12345678 0011223344556677");
  const auto parsed = Ipv6Packet::parse(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->is_fragment());
  EXPECT_EQ(parsed->fragment, (Ipv6Fragment{0x12345678, 8, true}));
  EXPECT_EQ(parsed->header.protocol, kExtensionDestination);
  EXPECT_EQ(parsed->payload.size(), 8u);
}

TEST(Ipv6, EachFault) {
  struct Case {
    uint8_t next;
    const char* rest;
    Malformed why;
    uint32_t at;  // where a report points, 0 if none is due
  };
  const Case cases[] = {
      {99, "00", Malformed::ipv6_unknown_next_header, 6},
      {50, "00", Malformed::ipv6_unknown_next_header, 6},
      {60, "63 00 0104 00000000", Malformed::ipv6_unknown_next_header, 40},
      {60, "00 00 0104 00000000 06 00 0104 00000000", Malformed::ipv6_hop_by_hop_place, 40},
      {60, "06 01 0104 00000000", Malformed::ipv6_extension_length, 0},
      {60, "06", Malformed::ipv6_extension_length, 0},
      {60, "06 00 0105 00000000", Malformed::ipv6_option_length, 0},
      {60, "06 00 0103 000000 01", Malformed::ipv6_option_length, 0},
      {60, "06 00 4104 00000000", Malformed::ipv6_option_discard, 0},
      {60, "06 00 8104 00000000", Malformed::ipv6_option_unknown, 42},
      {60, "06 00 00c2 03000000", Malformed::ipv6_option_unknown, 43},
      {43, "06 00 0001 00000000", Malformed::ipv6_routing, 42},
      {44, "06 00 0001 00000000 00112233445566", Malformed::ipv6_fragment, 0},
      {44, "06 00 fff8 00000000 0011223344556677", Malformed::ipv6_fragment, 42},
  };
  for (const Case& c : cases) {
    const Buffer bytes = v6_with(c.next, c.rest);
    uint32_t at = 0;
    const auto parsed = Ipv6Packet::parse(bytes, &at);
    ASSERT_FALSE(parsed) << c.rest;
    EXPECT_EQ(to_string(parsed.error()), to_string(c.why)) << c.rest;
    if (c.at != 0) {
      EXPECT_EQ(at, c.at) << c.rest;
    }
  }
  std::string many;
  for (int i = 0; i < 9; ++i) many += "3c 00 0104 00000000";
  EXPECT_EQ(Ipv6Packet::parse(v6_with(60, many)).error(), Malformed::ipv6_extension_count);
  Buffer version = v6_with(6, "");
  version[0] = std::byte{0x40};
  EXPECT_EQ(Ipv6Packet::parse(version).error(), Malformed::ipv6_version);
  for (size_t at : {size_t{8}, size_t{24}}) {
    Buffer mapped = v6_with(6, "");
    IpAddress::from_v4(1).store(mapped, at + 12);
    for (size_t i = 0; i < 10; ++i) mapped[at + i] = std::byte{0};
    mapped[at + 10] = mapped[at + 11] = std::byte{0xFF};
    EXPECT_EQ(Ipv6Packet::parse(mapped).error(), Malformed::ipv6_mapped_address);
  }
}

TEST(Ipv6, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    Ipv6Header header{any_v6(), any_v6()};
    header.flow_label = *rc::gen::inRange<uint32_t>(0, 1 << 20);
    header.traffic_class = *rc::gen::arbitrary<uint8_t>();
    header.hop_limit = *rc::gen::arbitrary<uint8_t>();
    header.protocol = *rc::gen::element(kProtocolTcp, kProtocolUdp, kProtocolIcmpV6);
    const Buffer payload = any_bytes(64);
    Buffer bytes(kIpv6HeaderLength);
    RC_ASSERT(emit(header, payload.size(), bytes) == bytes.size());
    const Buffer whole = join(join(bytes, payload), hex("0000"));
    const auto parsed = Ipv6Packet::parse(whole);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(parsed->payload.size() == payload.size());
  }));
}

TEST(Udp, LengthsAndChecksums) {
  const Buffer whole = hex("0035 1000 000a 0000 6869 ffff");
  EXPECT_EQ(as_text(UdpDatagram::parse(whole)->payload), "hi");
  for (size_t n = 0; n < 10; ++n) {
    EXPECT_EQ(UdpDatagram::parse(head(whole, n)).error(),
              n < 8 ? Malformed::udp_truncated : Malformed::udp_length);
  }
  Buffer small = whole;
  small[5] = std::byte{7};
  EXPECT_EQ(UdpDatagram::parse(small).error(), Malformed::udp_length);
  const IpAddress four = IpAddress::from_v4(1), six;
  EXPECT_TRUE(UdpDatagram::parse(whole)->checksum_ok(four, four));
  EXPECT_FALSE(UdpDatagram::parse(whole)->checksum_ok(six, six));
  EXPECT_EQ(udp_checksum_field(0), 0xFFFF);
  EXPECT_EQ(udp_checksum_field(5), 5);
}

TEST(Udp, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    UdpHeader header{*rc::gen::arbitrary<uint16_t>(), *rc::gen::arbitrary<uint16_t>(), 0};
    const Buffer payload = any_bytes(64);
    const IpAddress from = any_v6(), to = any_v6();
    Buffer whole = join(Buffer(kUdpHeaderLength), payload);
    const auto length = static_cast<uint32_t>(whole.size());
    emit(header, payload.size(), whole);
    const uint32_t pseudo = pseudo_header_sum(from, to, kProtocolUdp, length);
    header.checksum = udp_checksum_field(checksum(whole, pseudo));
    RC_ASSERT(emit(header, payload.size(), whole) == kUdpHeaderLength);
    const auto parsed = UdpDatagram::parse(whole);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(parsed->checksum_ok(from, to));
    whole[6] ^= std::byte{1};
    RC_ASSERT(!UdpDatagram::parse(whole)->checksum_ok(from, to));
  }));
}

}  // namespace
}  // namespace paste::wire
