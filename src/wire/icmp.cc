#include "wire/icmp.h"

namespace paste::wire {
namespace {

void read_transport(Bytes bytes, QuotedPacket& to) noexcept {
  if (to.protocol != kProtocolTcp && to.protocol != kProtocolUdp) return;
  if (bytes.size() < 4) return;
  to.has_ports = true;
  to.source_port = load16(bytes, 0);
  to.destination_port = load16(bytes, 2);
  if (to.protocol != kProtocolTcp || bytes.size() < 8) return;
  to.has_sequence = true;
  to.sequence = load32(bytes, 4);
}

ParseResult<QuotedPacket> parse_quote_v4(Bytes bytes) noexcept {
  if (bytes.size() < kIpv4HeaderLength) return malformed(Malformed::icmp_quote_truncated);
  const uint8_t first = load8(bytes, 0);
  if (first >> 4 != 4) return malformed(Malformed::icmp_quote_version);
  const size_t length = (first & 15u) * 4;
  if (length < kIpv4HeaderLength || length > bytes.size()) {
    return malformed(Malformed::icmp_quote_truncated);
  }
  const Ipv4Header header = Ipv4Packet::fields(bytes);
  QuotedPacket quoted;
  quoted.source = header.source;
  quoted.destination = header.destination;
  quoted.protocol = header.protocol;
  // Only the first fragment has the transport's header.
  if (header.fragment_offset == 0) read_transport(bytes.subspan(length), quoted);
  return quoted;
}

ParseResult<QuotedPacket> parse_quote_v6(Bytes bytes) noexcept {
  if (bytes.size() < kIpv6HeaderLength) return malformed(Malformed::icmp_quote_truncated);
  if (load8(bytes, 0) >> 4 != 6) return malformed(Malformed::icmp_quote_version);
  const Ipv6Header header = Ipv6Packet::fields(bytes);
  if (header.source.is_v4() || header.destination.is_v4()) {
    return malformed(Malformed::ipv6_mapped_address);
  }
  QuotedPacket quoted;
  quoted.source = header.source;
  quoted.destination = header.destination;
  quoted.protocol = header.protocol;
  read_transport(bytes.subspan(kIpv6HeaderLength), quoted);
  return quoted;
}

}  // namespace

size_t emit(const IcmpHeader& header, Bytes body, uint32_t pseudo, MutableBytes out) noexcept {
  const size_t length = kIcmpHeaderLength + body.size();
  PASTE_CHECK(out.size() >= length);
  store8(out, 0, header.type);
  store8(out, 1, header.code);
  store16(out, 2, 0);
  store32(out, 4, header.rest);
  const uint32_t partial = copy_and_sum(out.subspan(kIcmpHeaderLength), body, fold(pseudo));
  store16(out, 2, checksum(out.first(kIcmpHeaderLength), partial));
  return length;
}

ParseResult<QuotedPacket> QuotedPacket::parse(Bytes bytes, bool v6) noexcept {
  return v6 ? parse_quote_v6(bytes) : parse_quote_v4(bytes);
}

}  // namespace paste::wire
