// What may be answered and what may not. Method: frames of both versions, each rule broken once.
#include "ip/icmp_responder.h"

#include <gtest/gtest.h>

#include <vector>

#include "wire/icmp.h"
#include "wire/udp.h"

namespace paste::ip {
namespace {

using wire::IpAddress;
using Frame = std::vector<std::byte>;
using Unreachable = IcmpResponder::Unreachable;

const IpAddress kPeer4 = IpAddress::from_v4(0xC0000201), kOurs4 = IpAddress::from_v4(0xC0000202);
const IpAddress kPeer6{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
const IpAddress kOurs6{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
const std::vector<IpAddress> kOurs = {kOurs4, kOurs6};

Frame packet(const IpAddress& from, const IpAddress& to, uint8_t protocol, const Frame& body) {
  Frame frame(wire::kEthernetHeaderLength + wire::ip_header_length(from));
  wire::EthernetHeader ethernet;
  ethernet.source = {{2, 0, 0, 0, 0, 1}};
  ethernet.destination = {{2, 0, 0, 0, 0, 2}};
  ethernet.type = from.is_v4() ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6;
  const size_t at = wire::emit(ethernet, frame);
  wire::emit_ip(from, to, protocol, 0, body.size(), wire::MutableBytes(frame).subspan(at));
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

Frame icmp(const IpAddress& from, const IpAddress& to, const wire::IcmpHeader& header,
           size_t data) {
  Frame body(wire::kIcmpHeaderLength + data), payload(data, std::byte{0x5A});
  const uint32_t pseudo = header.is_v6 ? wire::pseudo_header_sum(from, to, wire::kProtocolIcmpV6,
                                                                 static_cast<uint32_t>(body.size()))
                                       : 0;
  wire::emit(header, payload, pseudo, body);
  return packet(from, to, header.is_v6 ? wire::kProtocolIcmpV6 : wire::kProtocolIcmpV4, body);
}

Frame udp(const IpAddress& from, const IpAddress& to, size_t length = 20) {
  Frame body(wire::kUdpHeaderLength + length);
  wire::emit(wire::UdpHeader{1234, 9}, length, body);
  return packet(from, to, wire::kProtocolUdp, body);
}

struct Parsed {
  wire::IpPacket packet;
  wire::IcmpMessage message;
};
Parsed parse(const Frame& frame) {
  const auto packet = wire::IpPacket::parse(*wire::EthernetFrame::parse(frame));
  const auto message =
      packet->source.is_v4()
          ? wire::IcmpMessage::parse_v4(packet->payload)
          : wire::IcmpMessage::parse_v6(packet->payload, packet->source, packet->destination);
  EXPECT_TRUE(message.has_value());
  return {*packet, *message};
}

// RFC 1122 §3.2.2.6, RFC 4443 §4.2: all data comes back, and the addresses change places.
TEST(IcmpResponder, EchoComesBackWhole) {
  for (const auto& [peer, ours] : {std::pair(kPeer4, kOurs4), std::pair(kPeer6, kOurs6)}) {
    for (const size_t data : {0, 1, 56, 1400}) {
      IcmpResponder responder;
      const bool v6 = !peer.is_v4();
      const Frame request = icmp(peer, ours, wire::IcmpHeader::echo(v6, false, 7, 9), data);
      Frame out(request.size());
      ASSERT_EQ(responder.answer_echo(request, kOurs, out), request.size());
      const Parsed reply = parse(out);
      EXPECT_EQ(reply.packet.source, ours);
      EXPECT_EQ(reply.packet.destination, peer);
      EXPECT_EQ(reply.message.header, wire::IcmpHeader::echo(v6, true, 7, 9));
      EXPECT_EQ(reply.message.body.size(), data);
      EXPECT_EQ(out[0], std::byte{2});
      EXPECT_EQ(out[5], std::byte{1});
      Frame small(request.size() - 1);
      EXPECT_EQ(responder.answer_echo(request, kOurs, small), 0U);
    }
  }
}

TEST(IcmpResponder, EchoIsNotForOthers) {
  IcmpResponder responder;
  Frame out(2000);
  const auto request = wire::IcmpHeader::echo(false, false, 1, 1);
  const IpAddress group = IpAddress::from_v4(0xE0000001), all = IpAddress::from_v4(0xFFFFFFFF);
  for (const IpAddress& to : {kPeer4, group, all}) {
    EXPECT_EQ(responder.answer_echo(icmp(kPeer4, to, request, 8), kOurs, out), 0U);
  }
  EXPECT_EQ(responder.answer_echo(icmp(group, kOurs4, request, 8), kOurs, out), 0U);
  const auto reply = wire::IcmpHeader::echo(false, true, 1, 1);
  EXPECT_EQ(responder.answer_echo(icmp(kPeer4, kOurs4, reply, 8), kOurs, out), 0U);
  Frame damaged = icmp(kPeer4, kOurs4, request, 8);
  damaged.back() ^= std::byte{1};
  EXPECT_EQ(responder.answer_echo(damaged, kOurs, out), 0U);
  EXPECT_EQ(responder.counters().bad, 1U);
  EXPECT_EQ(responder.counters().echoes, 0U);
}

// RFC 1122 §3.2.2.1, RFC 4443 §3.1: a port that nobody has; RFC 8200 §4: a protocol.
TEST(IcmpResponder, ErrorsQuoteWhatCausedThem) {
  for (const auto& [peer, ours] : {std::pair(kPeer4, kOurs4), std::pair(kPeer6, kOurs6)}) {
    const bool v6 = !peer.is_v4();
    const size_t most = v6 ? 1280 : 576;
    for (const size_t length : {0, 20, 1400}) {
      IcmpResponder responder;
      const Frame cause = udp(peer, ours, length);
      Frame out(IcmpResponder::kErrorMax);
      const size_t size = responder.unreachable(cause, Unreachable::port, 1, out);
      ASSERT_GT(size, 0U);
      EXPECT_LE(size, wire::kEthernetHeaderLength + most);  // RFC 4443 §2.4, RFC 1812 §4.3.2.3
      out.resize(size);
      const Parsed error = parse(out);
      EXPECT_EQ(error.message.header.kind(), wire::IcmpKind::unreachable);
      const auto quoted = wire::QuotedPacket::parse(error.message.body, v6);
      ASSERT_TRUE(quoted.has_value());
      EXPECT_EQ(quoted->source, peer);
      EXPECT_EQ(quoted->destination_port, 9);
      out.resize(IcmpResponder::kErrorMax);
      EXPECT_GT(responder.unreachable(cause, Unreachable::protocol, 1, out), 0U);
    }
  }
}

// RFC 1122 §3.2.2, RFC 4443 §2.4 (e).
TEST(IcmpResponder, SomeThingsAreNotToBeSaid) {
  IcmpResponder responder;
  Frame out(IcmpResponder::kErrorMax);
  const auto silent = [&](const Frame& frame) {
    return responder.unreachable(frame, Unreachable::port, 1, out) == 0;
  };
  EXPECT_TRUE(silent(icmp(kPeer4, kOurs4, wire::IcmpHeader::unreachable(false, 3), 28)));
  EXPECT_TRUE(silent(icmp(kPeer6, kOurs6, wire::IcmpHeader::unreachable(true, 4), 48)));
  EXPECT_TRUE(silent(udp(kPeer4, IpAddress::from_v4(0xE0000001))));
  EXPECT_TRUE(silent(udp(kPeer4, IpAddress::from_v4(0xFFFFFFFF))));
  EXPECT_TRUE(silent(udp(IpAddress::from_v4(0), kOurs4)));
  EXPECT_TRUE(silent(udp(IpAddress::from_v4(0x7F000001), kOurs4)));
  Frame to_all = udp(kPeer4, kOurs4);
  to_all[0] = std::byte{0xFF};
  EXPECT_TRUE(silent(to_all));
  EXPECT_EQ(responder.counters().not_to_say, 7U);
  EXPECT_TRUE(silent(Frame(10)));
  EXPECT_FALSE(silent(udp(kPeer4, kOurs4)));
}

// RFC 4443 §2.4 (f).
TEST(IcmpResponder, ErrorsAreLimited) {
  IcmpResponder responder(3);
  Frame out(IcmpResponder::kErrorMax);
  for (uint64_t second = 1; second <= 2; ++second) {
    uint32_t sent = 0;
    for (int i = 0; i < 10; ++i) {
      sent += responder.unreachable(udp(kPeer4, kOurs4), Unreachable::port, second, out) != 0;
    }
    EXPECT_EQ(sent, 3U);
  }
  EXPECT_EQ(responder.counters().limited, 14U);
}

}  // namespace
}  // namespace paste::ip
