// A frame through all of its layers. Whatever parses is written again, and what was written must
// parse to the same; a copy with repaired checksums reaches the layers behind them. The checksum of
// the bytes is the same by every way of computing it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/neighbour.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace paste::wire {
namespace {

using Buffer = std::vector<std::byte>;

void check_sums(Bytes bytes) {
  const uint32_t want = sum_scalar(bytes);
  PASTE_CHECK(sum(bytes) == want);
  Buffer copy(bytes.size());
  PASTE_CHECK(copy_and_sum(copy, bytes) == want);
  PASTE_CHECK(std::equal(copy.begin(), copy.end(), bytes.begin(), bytes.end()));
  const size_t cut = bytes.empty() ? 0 : load8(bytes, 0) % bytes.size();
  Sum pieces;
  pieces.add(bytes.first(cut));
  pieces.add(bytes.subspan(cut));
  PASTE_CHECK(pieces.partial() == want);
}

void check_tcp(Bytes bytes) {
  const auto parsed = TcpSegment::parse(bytes);
  if (!parsed) return;
  const TcpOptions& options = parsed->options;
  PASTE_CHECK(options.window_scale <= kWindowScaleMax && options.sack_count <= kSackBlocksMax);
  Buffer out(kTcpHeaderLength + options.length());
  PASTE_CHECK(emit(parsed->header, options, out) == out.size());
  const auto again = TcpSegment::parse(out);
  PASTE_CHECK(again.has_value());
  TcpHeader header = parsed->header;
  header.header_length = static_cast<uint8_t>(out.size());
  PASTE_CHECK(again->header == header);
  TcpOptions sent = options;
  sent.sack_count = static_cast<uint8_t>(options.sack_fitting());
  for (size_t i = sent.sack_count; i < kSackBlocksMax; ++i) sent.sack[i] = {};
  PASTE_CHECK(again->options == sent);
}

void check_udp(Bytes bytes, const IpAddress& source, const IpAddress& destination) {
  const auto parsed = UdpDatagram::parse(bytes);
  if (!parsed) return;
  (void)parsed->checksum_ok(source, destination);
  Buffer out(parsed->all.begin(), parsed->all.end());
  PASTE_CHECK(emit(parsed->header, parsed->payload.size(), out) == kUdpHeaderLength);
  PASTE_CHECK(std::equal(out.begin(), out.end(), parsed->all.begin(), parsed->all.end()));
}

void check_icmp(Bytes bytes, bool v6, const IpAddress& source, const IpAddress& destination) {
  const auto parsed =
      v6 ? IcmpMessage::parse_v6(bytes, source, destination) : IcmpMessage::parse_v4(bytes);
  if (!parsed) return;
  const auto length = static_cast<uint32_t>(bytes.size());
  Buffer out(bytes.size());
  const uint32_t pseudo = v6 ? pseudo_header_sum(source, destination, kProtocolIcmpV6, length) : 0;
  PASTE_CHECK(emit(parsed->header, parsed->body, pseudo, out) == out.size());
  // 0 and 0xFFFF are the same number to the sum, so the field itself may differ.
  store16(out, 2, load16(bytes, 2));
  PASTE_CHECK(std::equal(out.begin(), out.end(), bytes.begin(), bytes.end()));
  if (parsed->header.is_error()) {
    const auto quoted = QuotedPacket::parse(parsed->body, v6);
    PASTE_CHECK(!quoted || quoted->source.is_v4() != v6);
  }
  const IcmpKind kind = parsed->header.kind();
  if (kind != IcmpKind::neighbour_solicitation && kind != IcmpKind::neighbour_advertisement) return;
  const auto neighbour = NeighbourMessage::parse(*parsed);
  if (!neighbour) return;
  Buffer message(neighbour->length());
  PASTE_CHECK(emit(*neighbour, source, destination, message) == message.size());
  const auto again = IcmpMessage::parse_v6(message, source, destination);
  PASTE_CHECK(again.has_value());
  PASTE_CHECK(NeighbourMessage::parse(*again) == neighbour);
}

void check_transport(uint8_t protocol, Bytes bytes, const IpAddress& source,
                     const IpAddress& destination) {
  const bool v6 = !source.is_v4();
  if (protocol == kProtocolTcp) check_tcp(bytes);
  if (protocol == kProtocolUdp) check_udp(bytes, source, destination);
  if (protocol != (v6 ? kProtocolIcmpV6 : kProtocolIcmpV4)) return;
  check_icmp(bytes, v6, source, destination);
  if (bytes.size() < kIcmpHeaderLength) return;
  Buffer repaired(bytes.begin(), bytes.end());
  const auto length = static_cast<uint32_t>(bytes.size());
  const uint32_t pseudo = v6 ? pseudo_header_sum(source, destination, kProtocolIcmpV6, length) : 0;
  store16(repaired, 2, 0);
  store16(repaired, 2, checksum(repaired, pseudo));
  check_icmp(repaired, v6, source, destination);
}

void check_v4(Bytes bytes) {
  const auto parsed = Ipv4Packet::parse(bytes);
  if (!parsed) return;
  Buffer out(kIpv4HeaderLength + parsed->payload.size());
  PASTE_CHECK(emit(parsed->header, parsed->payload.size(), out) == kIpv4HeaderLength);
  const auto again = Ipv4Packet::parse(out);
  PASTE_CHECK(again.has_value());
  PASTE_CHECK(again->header == parsed->header);
  PASTE_CHECK(again->payload.size() == parsed->payload.size());
  if (parsed->header.is_fragment()) return;
  check_transport(parsed->header.protocol, parsed->payload, parsed->header.source,
                  parsed->header.destination);
}

void check_v6(Bytes bytes) {
  uint32_t problem_at = 0;
  const auto parsed = Ipv6Packet::parse(bytes, &problem_at);
  if (!parsed) {
    PASTE_CHECK(problem_at < std::max<size_t>(bytes.size(), 1));
    return;
  }
  PASTE_CHECK(parsed->payload.empty() || parsed->payload.data() == bytes.data() +
                                                                       kIpv6HeaderLength +
                                                                       parsed->extensions_length);
  if (parsed->is_fragment()) return;
  Buffer out(kIpv6HeaderLength + parsed->payload.size());
  PASTE_CHECK(emit(parsed->header, parsed->payload.size(), out) == kIpv6HeaderLength);
  const auto again = Ipv6Packet::parse(out);
  PASTE_CHECK(again.has_value());
  PASTE_CHECK(again->header == parsed->header);
  check_transport(parsed->header.protocol, parsed->payload, parsed->header.source,
                  parsed->header.destination);
}

void check_arp(Bytes bytes) {
  const auto parsed = ArpPacket::parse(bytes);
  if (!parsed) return;
  Buffer out(kArpLength);
  PASTE_CHECK(emit(*parsed, out) == kArpLength);
  PASTE_CHECK(std::equal(out.begin(), out.end(), bytes.begin()));
}

void one(Bytes frame) {
  check_sums(frame);
  const auto parsed = EthernetFrame::parse(frame);
  if (!parsed) return;
  Buffer out(parsed->header.length());
  PASTE_CHECK(emit(parsed->header, out) == out.size());
  PASTE_CHECK(std::equal(out.begin(), out.end(), frame.begin()));
  if (parsed->header.type == kEtherTypeArp) check_arp(parsed->payload);
  if (parsed->header.type == kEtherTypeIpv6) check_v6(parsed->payload);
  if (parsed->header.type != kEtherTypeIpv4) return;
  check_v4(parsed->payload);
  Buffer repaired(parsed->payload.begin(), parsed->payload.end());
  if (repaired.size() < kIpv4HeaderLength) return;
  const size_t length = std::min((load8(repaired, 0) & 15u) * size_t{4}, repaired.size());
  store16(repaired, 10, 0);
  store16(repaired, 10, checksum(Bytes(repaired).first(length)));
  check_v4(repaired);
}

}  // namespace
}  // namespace paste::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An exact copy, so that reading after the end is seen.
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  paste::wire::one(std::vector<std::byte>(bytes, bytes + size));
  return 0;
}
