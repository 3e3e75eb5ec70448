#include "udp/udp.h"

#include "base/check.h"
#include "wire/udp.h"

namespace paste::udp {

Result<> Endpoints::bind(uint16_t port, uint32_t endpoint) {
  if (port == 0 || endpoint == kNobody) {
    return fail(Code::invalid, "port 0 cannot be bound: choose one from 1 to 65535");
  }
  if (bound_[port] != kNobody) {
    return fail(Code::in_use, "UDP port " + std::to_string(port) + " is bound already");
  }
  bound_[port] = endpoint;
  return {};
}

std::optional<Datagram> Endpoints::arrive(Bytes frame, Refused& why) noexcept {
  auto datagram = parse(frame, why);
  if (!datagram) ++refused_[static_cast<size_t>(why)];
  return datagram;
}

std::optional<Datagram> Endpoints::parse(Bytes bytes, Refused& why) const noexcept {
  const auto refuse = [&](Refused reason) {
    why = reason;
    return std::nullopt;
  };
  const auto frame = wire::EthernetFrame::parse(bytes);
  if (!frame) return refuse(Refused::malformed);
  const auto packet = wire::IpPacket::parse(*frame);
  if (!packet) return refuse(Refused::malformed);
  if (packet->protocol != wire::kProtocolUdp) return refuse(Refused::not_udp);
  if (packet->fragment) return refuse(Refused::fragment);
  if (packet->source.is_multicast() || packet->source.is_broadcast()) {
    return refuse(Refused::bad_address);  // RFC 1122 §4.1.3.6
  }
  const auto udp = wire::UdpDatagram::parse(packet->payload);
  if (!udp) return refuse(Refused::malformed);
  // RFC 8200 §8.1: without a checksum it is dropped; RFC 1122 §4.1.3.4: over IPv4 it may lack one.
  if (!udp->checksum_ok(packet->source, packet->destination)) {
    return refuse(Refused::bad_checksum);
  }
  const uint32_t endpoint = bound_[udp->header.destination_port];
  if (endpoint == kNobody) return refuse(Refused::no_port);
  const auto offset = static_cast<size_t>(udp->payload.data() - bytes.data());
  if (offset + udp->payload.size() > UINT16_MAX) return refuse(Refused::malformed);
  return Datagram{.local = packet->destination,
                  .remote = packet->source,
                  .local_port = udp->header.destination_port,
                  .remote_port = udp->header.source_port,
                  .endpoint = endpoint,
                  .payload = {.buffer = 0,
                              .offset = static_cast<uint16_t>(offset),
                              .length = static_cast<uint16_t>(udp->payload.size())}};
}

Result<size_t> emit(const Datagram& to, std::span<const Slice> payload, Bytes memory,
                    size_t buffer_size, size_t mtu, std::span<std::byte> headers) {
  PASTE_CHECK(headers.size() >= kHeadersMax);
  if (to.local.is_v4() != to.remote.is_v4()) {
    return fail(Code::invalid, "the two addresses are of different versions of IP");
  }
  size_t bytes = 0;
  wire::Sum sum;
  for (const Slice slice : payload) {
    bytes += slice.length;
    sum.add(memory.subspan(slice.buffer * buffer_size + slice.offset, slice.length));
  }
  const size_t ip_length = wire::ip_header_length(to.local);
  const size_t carried = wire::kUdpHeaderLength + bytes;
  if (ip_length + carried > mtu) {
    return fail(Code::too_large, "a datagram of " + std::to_string(bytes) +
                                     " bytes does not fit into one packet: at most " +
                                     std::to_string(mtu - ip_length - wire::kUdpHeaderLength) +
                                     " do");
  }
  wire::EthernetHeader ethernet;
  ethernet.type = to.local.is_v4() ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6;
  const size_t ip_at = wire::emit(ethernet, headers);
  const size_t udp_at = ip_at + wire::emit_ip(to.local, to.remote, wire::kProtocolUdp, 0, carried,
                                              headers.subspan(ip_at));
  const auto head = headers.subspan(udp_at, wire::kUdpHeaderLength);
  wire::emit(wire::UdpHeader{.source_port = to.local_port, .destination_port = to.remote_port},
             bytes, head);
  const uint32_t pseudo = wire::pseudo_header_sum(to.local, to.remote, wire::kProtocolUdp,
                                                  static_cast<uint32_t>(carried));
  const uint16_t computed = wire::checksum(head, pseudo + sum.partial());
  wire::store16(head, 6, wire::udp_checksum_field(computed));
  return udp_at + wire::kUdpHeaderLength;
}

}  // namespace paste::udp
