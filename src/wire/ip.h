// A packet of either version of IP, as what lies above it sees it.
#pragma once

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace paste::wire {

struct IpPacket {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t traffic_class = 0;
  bool fragment = false;        // a part of a packet
  bool first_fragment = false;  // which begins with the transport's header
  Bytes whole;                  // from the IP header on; link padding is cut off
  Bytes payload;

  [[nodiscard]] constexpr uint8_t ecn() const noexcept { return traffic_class & kEcnMask; }
  // Errors besides those of the two versions: ethernet_not_typed for what is no IP.
  [[nodiscard]] static ParseResult<IpPacket> parse(const EthernetFrame& frame) noexcept {
    if (frame.header.type == kEtherTypeIpv4) {
      const auto packet = Ipv4Packet::parse(frame.payload);
      if (!packet) return malformed(packet.error());
      const Ipv4Header& header = packet->header;
      return IpPacket{header.source,
                      header.destination,
                      header.protocol,
                      header.traffic_class,
                      header.is_fragment(),
                      header.fragment_offset == 0,
                      frame.payload.first(packet->header_length + packet->payload.size()),
                      packet->payload};
    }
    if (frame.header.type != kEtherTypeIpv6) return malformed(Malformed::ethernet_not_typed);
    const auto packet = Ipv6Packet::parse(frame.payload);
    if (!packet) return malformed(packet.error());
    const Ipv6Header& header = packet->header;
    const size_t length = kIpv6HeaderLength + packet->extensions_length + packet->payload.size();
    return IpPacket{header.source,
                    header.destination,
                    header.protocol,
                    header.traffic_class,
                    packet->is_fragment(),
                    packet->fragment.offset == 0,
                    frame.payload.first(length),
                    packet->payload};
  }
};

[[nodiscard]] inline size_t ip_header_length(const IpAddress& address) noexcept {
  return address.is_v4() ? kIpv4HeaderLength : kIpv6HeaderLength;
}

// Writes the header of the version that the addresses are of, for `carried` bytes behind it.
// REQUIRES: both addresses are of one version; what emit() of that version requires.
inline size_t emit_ip(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                      uint8_t traffic_class, size_t carried, MutableBytes out,
                      uint8_t ttl = 64) noexcept {
  if (source.is_v4()) {
    return emit(Ipv4Header{.source = source,
                           .destination = destination,
                           .traffic_class = traffic_class,
                           .ttl = ttl,
                           .protocol = protocol},
                carried, out);
  }
  return emit(Ipv6Header{.source = source,
                         .destination = destination,
                         .traffic_class = traffic_class,
                         .hop_limit = ttl,
                         .protocol = protocol},
              carried, out);
}

}  // namespace paste::wire
