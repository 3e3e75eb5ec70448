#include "tcp/packet.h"

#include <algorithm>

#include "tcp/packet_common.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

namespace paste::tcp {
namespace {

Refusal refusal_of(wire::Malformed detail) { return {Refused::malformed, detail}; }

bool endpoint_ok(const wire::IpAddress& address) noexcept {
  return !address.is_multicast() && !address.is_broadcast() && !address.is_unspecified();
}

Segment to_segment(const wire::TcpSegment& from, bool ce, size_t offset) noexcept {
  Segment segment;
  segment.seq = Seq{from.header.sequence};
  segment.ack = Seq{from.header.acknowledgment};
  segment.window = from.header.window;
  segment.flags = from.header.flags;
  segment.urgent = from.header.urgent;
  segment.ce = ce;
  const wire::TcpOptions& options = from.options;
  segment.options.mss = options.has_mss ? options.mss : uint16_t{0};
  if (options.has_window_scale) segment.options.shift = options.window_scale;
  segment.options.sack_permitted = options.sack_permitted;
  segment.options.timestamps = options.has_timestamps;
  segment.options.ts_value = options.timestamp_value;
  segment.options.ts_echo = options.timestamp_echo;
  segment.options.sack_count = options.sack_count;
  for (size_t i = 0; i < options.sack_count; ++i) {
    segment.options.sack[i] = {Seq{options.sack[i].begin}, Seq{options.sack[i].end}};
  }
  segment.payload.offset = static_cast<uint16_t>(offset);
  segment.payload.length = static_cast<uint16_t>(from.payload.size());
  return segment;
}

wire::TcpOptions to_wire(const SegmentOptions& from) noexcept {
  wire::TcpOptions options;
  options.has_mss = from.mss != 0;
  options.mss = from.mss;
  options.has_window_scale = from.shift != SegmentOptions::kNoShift;
  options.window_scale = options.has_window_scale ? from.shift : uint8_t{0};
  options.sack_permitted = from.sack_permitted;
  options.has_timestamps = from.timestamps;
  options.timestamp_value = from.ts_value;
  options.timestamp_echo = from.ts_echo;
  options.sack_count = from.sack_count;
  for (size_t i = 0; i < from.sack_count; ++i) {
    options.sack[i] = {from.sack[i].begin.value, from.sack[i].end.value};
  }
  return options;
}

}  // namespace

tl::expected<Packet, Refusal> parse_packet(Bytes bytes) noexcept {
  tl::expected<Packet, Refusal> result;
  if (const auto refusal = parse_packet(bytes, *result)) return tl::unexpected<Refusal>(*refusal);
  return result;
}

std::optional<Refusal> parse_packet(Bytes bytes, Packet& packet) noexcept {
  if (common::parse(bytes, packet)) return std::nullopt;
  return general::parse(bytes, packet);
}

std::optional<Refusal> general::parse(Bytes bytes, Packet& packet) noexcept {
  const auto frame = wire::EthernetFrame::parse(bytes);
  if (!frame) return refusal_of(frame.error());
  const bool is_ip =
      frame->header.type == wire::kEtherTypeIpv4 || frame->header.type == wire::kEtherTypeIpv6;
  if (!is_ip) return Refusal{Refused::not_ip};
  const auto ip = wire::IpPacket::parse(*frame);
  if (!ip) return refusal_of(ip.error());
  if (ip->fragment) return Refusal{Refused::fragment};
  if (ip->protocol != wire::kProtocolTcp) return Refusal{Refused::not_tcp};
  if (!endpoint_ok(ip->source) || !endpoint_ok(ip->destination)) {
    return Refusal{Refused::bad_address};
  }
  const auto tcp = wire::TcpSegment::parse(ip->payload);
  if (!tcp) return refusal_of(tcp.error());
  // RFC 9293 MUST-3.
  if (!wire::transport_checksum_ok(ip->source, ip->destination, wire::kProtocolTcp, ip->payload)) {
    return Refusal{Refused::bad_checksum};
  }
  const auto offset = static_cast<size_t>(tcp->payload.data() - bytes.data());
  if (offset + tcp->payload.size() > UINT16_MAX) return refusal_of(wire::Malformed::tcp_truncated);
  packet.tuple = {.local = ip->destination.octets,
                  .remote = ip->source.octets,
                  .local_port = tcp->header.destination_port,
                  .remote_port = tcp->header.source_port};
  packet.segment = to_segment(*tcp, ip->ecn() == wire::kEcnCongestion, offset);
  return std::nullopt;
}

size_t emit_packet(const FourTuple& tuple, const Outgoing& out, Bytes memory, size_t buffer_size,
                   std::span<std::byte> headers) noexcept {
  const size_t done = common::emit(tuple, out, memory, buffer_size, headers);
  return done != 0 ? done : general::emit(tuple, out, memory, buffer_size, headers);
}

size_t general::emit(const FourTuple& tuple, const Outgoing& out, Bytes memory, size_t buffer_size,
                     std::span<std::byte> headers) noexcept {
  const wire::IpAddress source{tuple.local};
  const wire::IpAddress destination{tuple.remote};
  const bool v4 = source.is_v4();
  wire::EthernetHeader ethernet;
  ethernet.type = v4 ? wire::kEtherTypeIpv4 : wire::kEtherTypeIpv6;
  const size_t ip_at = wire::emit(ethernet, headers);
  const size_t tcp_at = ip_at + (v4 ? wire::kIpv4HeaderLength : wire::kIpv6HeaderLength);
  const Segment& segment = out.header;
  wire::TcpHeader header;
  header.source_port = tuple.local_port;
  header.destination_port = tuple.remote_port;
  header.sequence = segment.seq.value;
  header.acknowledgment = segment.ack.value;
  header.flags = segment.flags;
  header.window = segment.window;
  header.urgent = segment.urgent;
  const size_t tcp_length = wire::emit(header, to_wire(segment.options), headers.subspan(tcp_at));
  const size_t carried = tcp_length + out.bytes;
  const auto traffic_class = static_cast<uint8_t>(
      out.dscp << 2 | (segment.ect ? wire::kEcnCapable0 : wire::kEcnNotCapable));
  wire::emit_ip(source, destination, wire::kProtocolTcp, traffic_class, carried,
                headers.subspan(ip_at), out.ttl);
  wire::Sum sum;
  for (const Slice slice : out.payload()) {
    sum.add(memory.subspan(slice.buffer * buffer_size + slice.offset, slice.length));
  }
  wire::store_tcp_checksum(headers.subspan(tcp_at, tcp_length),
                           wire::pseudo_header_sum(source, destination, wire::kProtocolTcp,
                                                   static_cast<uint32_t>(carried)),
                           sum.partial());
  return tcp_at + tcp_length;
}

}  // namespace paste::tcp
