// Goal: addresses, Ethernet with VLAN tags and ARP are read and written right. Method: tables,
// every truncation, random round trips (RapidCheck prints its seed).
#include <gtest/gtest.h>

#include <set>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/test_bytes.h"

namespace paste::wire {
namespace {

IpAddress v6(std::string_view text) { return IpAddress::load_v6(hex(text), 0); }

TEST(Malformed, EachReasonHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(Malformed::count_); ++i) {
    names.insert(to_string(static_cast<Malformed>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Malformed::count_));
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(Bytes, StoredBigEndianAtAnyAlignment) {
  for (size_t at = 0; at < 8; ++at) {
    Buffer bytes(16);
    store64(bytes, at, 0x0102030405060708u);
    EXPECT_EQ(load8(bytes, at), 1);
    EXPECT_EQ(load16(bytes, at), 0x0102);
    EXPECT_EQ(load32(bytes, at + 4), 0x05060708u);
    EXPECT_EQ(load64(bytes, at), 0x0102030405060708u);
    store8(bytes, at, 0xAA);
    store16(bytes, at + 1, 0xBBCC);
    store32(bytes, at + 3, 0xDDEEFF11u);
    EXPECT_EQ(load64(bytes, at), 0xAABBCCDDEEFF1108u);
  }
}

TEST(Address, Text) {
  EXPECT_EQ(to_string(MacAddress{{2, 0, 0x5e, 0x10, 0, 0xff}}), "02:00:5e:10:00:ff");
  EXPECT_EQ(to_string(IpAddress::from_v4(0xC0000201)), "192.0.2.1");
  const std::pair<const char*, const char*> cases[] = {
      {"00000000000000000000000000000000", "::"},
      {"00000000000000000000000000000001", "::1"},
      {"20010db8000000000000000000000001", "2001:db8::1"},
      {"20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"},  // one group stays
      {"20010000000000010000000000000001", "2001:0:0:1::1"},         // the longer run
      {"20010db8000000000001000000000001", "2001:db8::1:0:0:1"},     // the first of equals
      {"fe800000000000000000000000000000", "fe80::"},
  };
  for (const auto& [bytes, text] : cases) EXPECT_EQ(to_string(v6(bytes)), text);
}

TEST(Address, Kinds) {
  const auto v4 = [](uint32_t a) { return IpAddress::from_v4(a); };
  EXPECT_TRUE(v4(0x7F000001).is_loopback());
  EXPECT_TRUE(v4(0x7FFFFFFF).is_loopback());
  EXPECT_FALSE(v4(0x80000000).is_loopback());
  EXPECT_TRUE(v4(0xE0000001).is_multicast());
  EXPECT_TRUE(v4(0xEFFFFFFF).is_multicast());
  EXPECT_FALSE(v4(0xF0000000).is_multicast());
  EXPECT_TRUE(v4(0xFFFFFFFF).is_broadcast());
  EXPECT_FALSE(v4(0xFFFFFFFE).is_broadcast());
  EXPECT_TRUE(v4(0xA9FE0101).is_link_local());
  EXPECT_TRUE(v4(0).is_unspecified());
  EXPECT_TRUE(v4(0).is_v4());
  EXPECT_EQ(v4(0x01020304).v4(), 0x01020304u);
  EXPECT_EQ(v4(0x01020304).wire_bytes().size(), 4u);
  EXPECT_FALSE(v4(0) == IpAddress{});

  EXPECT_TRUE(IpAddress{}.is_unspecified());
  EXPECT_FALSE(IpAddress{}.is_v4());
  EXPECT_TRUE(v6("00000000000000000000000000000001").is_loopback());
  EXPECT_TRUE(v6("ff020000000000000000000000000001").is_multicast());
  EXPECT_TRUE(v6("febf0000000000000000000000000001").is_link_local());
  EXPECT_FALSE(v6("fec00000000000000000000000000001").is_link_local());
  EXPECT_FALSE(v6("ffffffffffffffffffffffffffffffff").is_broadcast());
  EXPECT_TRUE(v6("00000000000000000000ffff01020304") == v4(0x01020304));
  EXPECT_EQ(to_string(solicited_node(v6("20010db80000000000000000aabbccdd"))), "ff02::1:ffbb:ccdd");

  EXPECT_TRUE(MacAddress::broadcast().is_multicast());
  EXPECT_TRUE(MacAddress{}.is_zero());
  EXPECT_FALSE((MacAddress{{2, 0, 0, 0, 0, 1}}).is_multicast());
}

TEST(Ethernet, TagsAndEveryTruncation) {
  const Buffer addresses = hex("ffffffffffff 020000000001");
  const std::pair<const char*, size_t> cases[] = {
      {"0800", 14}, {"8100 0064 0800", 18}, {"88a8 e00a 8100 0064 0800", 22}};
  uint8_t tags = 0;
  for (const auto& [rest, length] : cases) {
    const Buffer whole = join(join(addresses, hex(rest)), hex("abcd"));
    const auto parsed = EthernetFrame::parse(whole);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->header.vlan_count, tags++);
    EXPECT_EQ(parsed->header.type, kEtherTypeIpv4);
    EXPECT_EQ(parsed->header.length(), length);
    EXPECT_TRUE(parsed->header.destination.is_broadcast());
    EXPECT_EQ(parsed->payload.size(), 2u);
    if (tags == 3) {
      EXPECT_EQ(parsed->header.vlan[0].id(), 10);
    }
    if (tags > 1) {
      EXPECT_EQ(parsed->header.vlan[tags - 2].id(), 100);
    }
    for (size_t n = 0; n < length; ++n) {
      const auto cut = EthernetFrame::parse(head(whole, n));
      ASSERT_FALSE(cut) << n;
      EXPECT_EQ(cut.error(), Malformed::ethernet_truncated);
    }
  }
  const Buffer three = join(addresses, hex("8100 0001 8100 0002 8100 0003 0800"));
  EXPECT_EQ(EthernetFrame::parse(three).error(), Malformed::vlan_too_deep);
  const Buffer llc = join(addresses, hex("05ff 0000"));
  EXPECT_EQ(EthernetFrame::parse(llc).error(), Malformed::ethernet_not_typed);
}

TEST(Ethernet, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    EthernetHeader header;
    header.destination = any_mac();
    header.source = any_mac();
    header.type = *rc::gen::element(kEtherTypeIpv4, kEtherTypeArp, kEtherTypeIpv6);
    header.vlan_count = *rc::gen::inRange<uint8_t>(0, 3);
    for (size_t i = 0; i < header.vlan_count; ++i) {
      header.vlan[i] = {*rc::gen::element(kEtherTypeVlan, kEtherTypeServiceVlan),
                        *rc::gen::arbitrary<uint16_t>()};
    }
    Buffer bytes(header.length());
    RC_ASSERT(emit(header, bytes) == bytes.size());
    const auto parsed = EthernetFrame::parse(bytes);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(parsed->payload.empty());
  }));
}

TEST(Arp, RefusesWhatItIsNot) {
  const Buffer whole = hex("0001 0800 06 04 0001 020000000001 c0000201 000000000000 c0000202");
  ASSERT_TRUE(ArpPacket::parse(whole));
  EXPECT_EQ(ArpPacket::parse(whole)->target_ip, IpAddress::from_v4(0xC0000202));
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_EQ(ArpPacket::parse(head(whole, n)).error(), Malformed::arp_truncated);
  }
  for (size_t at = 0; at < 8; ++at) {
    Buffer bytes = whole;
    bytes[at] ^= std::byte{0x10};
    EXPECT_EQ(ArpPacket::parse(bytes).error(),
              at < 6 ? Malformed::arp_not_ipv4 : Malformed::arp_operation);
  }
}

TEST(Arp, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    const ArpPacket packet{*rc::gen::element(kArpRequest, kArpReply), any_mac(), any_v4(),
                           any_mac(), any_v4()};
    Buffer bytes(kArpLength);
    RC_ASSERT(emit(packet, bytes) == kArpLength);
    const auto parsed = ArpPacket::parse(bytes);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == packet);
  }));
}

}  // namespace
}  // namespace paste::wire
