// Goal: ICMP of both versions, the packets that errors quote, and IPv6 neighbours. Method: tables
// of kinds, every truncation, random round trips (RapidCheck prints its seed).
#include "wire/icmp.h"

#include <gtest/gtest.h>

#include "wire/neighbour.h"
#include "wire/test_bytes.h"
#include "wire/udp.h"

namespace paste::wire {
namespace {

const IpAddress kFrom = IpAddress::load_v6(hex("fe800000000000000000000000000001"), 0);
const IpAddress kTo = IpAddress::load_v6(hex("fe800000000000000000000000000002"), 0);

Buffer written(const IcmpHeader& header, const Buffer& body, const IpAddress& from,
               const IpAddress& to) {
  Buffer bytes(kIcmpHeaderLength + body.size());
  const auto length = static_cast<uint32_t>(bytes.size());
  const uint32_t pseudo = header.is_v6 ? pseudo_header_sum(from, to, kProtocolIcmpV6, length) : 0;
  EXPECT_EQ(emit(header, body, pseudo, bytes), bytes.size());
  return bytes;
}

TEST(Icmp, KindsAndValues) {
  for (bool v6 : {false, true}) {
    const IcmpHeader echo = IcmpHeader::echo(v6, false, 0x1234, 0x5678);
    EXPECT_EQ(echo.kind(), IcmpKind::echo_request);
    EXPECT_EQ(echo.id(), 0x1234);
    EXPECT_EQ(echo.sequence(), 0x5678);
    EXPECT_FALSE(echo.is_error());
    EXPECT_EQ(IcmpHeader::echo(v6, true, 1, 2).kind(), IcmpKind::echo_reply);
    EXPECT_EQ(IcmpHeader::unreachable(v6, 3).kind(), IcmpKind::unreachable);
    const IcmpHeader big = IcmpHeader::packet_too_big(v6, 1280);
    EXPECT_EQ(big.kind(), IcmpKind::packet_too_big);
    EXPECT_EQ(big.mtu(), 1280u);
    EXPECT_TRUE(big.is_error());
    EXPECT_EQ(IcmpHeader::time_exceeded(v6, 0).kind(), IcmpKind::time_exceeded);
    const IcmpHeader problem = IcmpHeader::parameter_problem(v6, 1, 42);
    EXPECT_EQ(problem.kind(), IcmpKind::parameter_problem);
    EXPECT_EQ(problem.pointer(), 42u);
    EXPECT_EQ((IcmpHeader{v6, 200, 0, 0}).kind(), IcmpKind::other);
  }
  EXPECT_TRUE((IcmpHeader{true, 100, 0, 0}).is_error());
  EXPECT_TRUE((IcmpHeader{false, 5, 0, 0}).is_error());
}

TEST(Icmp, EveryTruncationAndBit) {
  const Buffer whole = written(IcmpHeader::echo(false, false, 1, 2), hex("616263"), {}, {});
  ASSERT_TRUE(IcmpMessage::parse_v4(whole));
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto parsed = IcmpMessage::parse_v4(head(whole, n));
    ASSERT_FALSE(parsed) << n;
    EXPECT_EQ(parsed.error(), n < 8 ? Malformed::icmp_truncated : Malformed::icmp_checksum);
  }
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    Buffer bytes = whole;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_EQ(IcmpMessage::parse_v4(bytes).error(), Malformed::icmp_checksum) << bit;
  }
  const Buffer six = written(IcmpHeader::echo(true, false, 1, 2), {}, kFrom, kTo);
  EXPECT_TRUE(IcmpMessage::parse_v6(six, kFrom, kTo));
  EXPECT_FALSE(IcmpMessage::parse_v6(six, kFrom, kFrom));
}

TEST(Icmp, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    const IcmpHeader header{*rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<uint8_t>(),
                            *rc::gen::arbitrary<uint8_t>(), *rc::gen::arbitrary<uint32_t>()};
    const Buffer body = any_bytes(300);
    const IpAddress from = any_v6(), to = any_v6();
    const Buffer bytes = written(header, body, from, to);
    const auto parsed =
        header.is_v6 ? IcmpMessage::parse_v6(bytes, from, to) : IcmpMessage::parse_v4(bytes);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->header == header);
    RC_ASSERT(std::equal(body.begin(), body.end(), parsed->body.begin(), parsed->body.end()));
  }));
}

Buffer quote(bool v6, uint8_t protocol) {
  const Buffer transport = hex("1f90 c350 01020304");
  if (v6) {
    Buffer bytes(kIpv6HeaderLength);
    Ipv6Header header{kFrom, kTo};
    header.protocol = protocol;
    emit(header, 1000, bytes);  // the quote is shorter than what it says
    return join(bytes, transport);
  }
  Buffer bytes(kIpv4HeaderLength);
  Ipv4Header header{IpAddress::from_v4(1), IpAddress::from_v4(2)};
  header.protocol = protocol;
  emit(header, 1000, bytes);
  return join(bytes, transport);
}

TEST(Icmp, QuotesAtEveryLength) {
  for (bool v6 : {false, true}) {
    const size_t ip = v6 ? 40 : 20;
    for (uint8_t protocol : {kProtocolTcp, kProtocolUdp, uint8_t{99}}) {
      const Buffer whole = quote(v6, protocol);
      for (size_t n = 0; n <= whole.size(); ++n) {
        const auto parsed = QuotedPacket::parse(head(whole, n), v6);
        ASSERT_EQ(parsed.has_value(), n >= ip) << n;
        if (!parsed) {
          EXPECT_EQ(parsed.error(), Malformed::icmp_quote_truncated);
          continue;
        }
        EXPECT_EQ(parsed->protocol, protocol);
        EXPECT_EQ(parsed->source, v6 ? kFrom : IpAddress::from_v4(1));
        EXPECT_EQ(parsed->has_ports, protocol != 99 && n >= ip + 4);
        EXPECT_EQ(parsed->has_sequence, protocol == kProtocolTcp && n >= ip + 8);
        EXPECT_EQ(parsed->source_port, parsed->has_ports ? 0x1f90 : 0);
        EXPECT_EQ(parsed->sequence, parsed->has_sequence ? 0x01020304u : 0u);
      }
    }
  }
  EXPECT_EQ(QuotedPacket::parse(quote(true, 6), false).error(), Malformed::icmp_quote_version);
  Buffer four = join(quote(false, 6), Buffer(40));
  EXPECT_EQ(QuotedPacket::parse(four, true).error(), Malformed::icmp_quote_version);
  Buffer later = quote(false, 6);
  later[7] = std::byte{1};  // not the first fragment: no ports in it
  EXPECT_FALSE(QuotedPacket::parse(later, false)->has_ports);
}

ParseResult<NeighbourMessage> parse_neighbour(uint8_t type, uint8_t code, std::string_view body) {
  const Buffer bytes = written({true, type, code, 0}, hex(body), kFrom, kTo);
  return NeighbourMessage::parse(*IcmpMessage::parse_v6(bytes, kFrom, kTo));
}

TEST(Neighbour, EachFault) {
  const std::string target = "20010db8000000000000000000000001";
  EXPECT_TRUE(parse_neighbour(135, 0, target));
  EXPECT_TRUE(parse_neighbour(135, 0, target + "0e02" + std::string(28, '0')));  // unknown: skipped
  EXPECT_EQ(parse_neighbour(135, 1, target).error(), Malformed::neighbour_code);
  EXPECT_EQ(parse_neighbour(136, 0, target.substr(2)).error(), Malformed::neighbour_truncated);
  EXPECT_EQ(parse_neighbour(136, 0, "ff" + target.substr(2)).error(), Malformed::neighbour_target);
  EXPECT_EQ(parse_neighbour(135, 0, "00000000000000000000ffff01020304").error(),
            Malformed::ipv6_mapped_address);
  for (const char* option : {"01", "0100", "0100 000000000000", "0102 000000000000"}) {
    EXPECT_EQ(parse_neighbour(135, 0, target + option).error(), Malformed::neighbour_option_length)
        << option;
  }
}

TEST(Neighbour, RoundTrip) {
  EXPECT_TRUE(rc::check("parse(emit(x)) == x", [] {
    NeighbourMessage message;
    message.is_advertisement = *rc::gen::arbitrary<bool>();
    if (message.is_advertisement) {
      message.router = *rc::gen::arbitrary<bool>();
      message.solicited = *rc::gen::arbitrary<bool>();
      message.overrides = *rc::gen::arbitrary<bool>();
    }
    message.target = any_v6();
    message.target.octets[0] = 0x20;
    message.has_mac = *rc::gen::arbitrary<bool>();
    if (message.has_mac) message.mac = any_mac();
    Buffer bytes(message.length());
    RC_ASSERT(emit(message, kFrom, kTo, bytes) == bytes.size());
    const auto icmp = IcmpMessage::parse_v6(bytes, kFrom, kTo);
    RC_ASSERT(icmp.has_value());
    const auto parsed = NeighbourMessage::parse(*icmp);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == message);
  }));
}

}  // namespace
}  // namespace paste::wire
