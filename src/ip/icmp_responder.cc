#include "ip/icmp_responder.h"

#include <algorithm>

#include "base/check.h"
#include "wire/icmp.h"

namespace paste::ip {
namespace {

using wire::IpAddress;

// RFC 1122 §3.2.2, RFC 4443 §2.4 (e.6): an address that names one host.
bool of_one_host(const IpAddress& address) noexcept {
  return !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast() &&
         !address.is_loopback();
}

// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): about these nothing may be said.
bool may_complain(const wire::EthernetFrame& frame, const wire::IpPacket& packet) noexcept {
  if (frame.header.destination.is_multicast() || !of_one_host(packet.source) ||
      !of_one_host(packet.destination) || (packet.fragment && !packet.first_fragment)) {
    return false;
  }
  const bool v4 = packet.source.is_v4();
  if (packet.protocol != (v4 ? wire::kProtocolIcmpV4 : wire::kProtocolIcmpV6)) return true;
  if (packet.payload.empty()) return false;
  const wire::IcmpHeader header{.is_v6 = !v4, .type = wire::load8(packet.payload, 0)};
  return !header.is_error();
}

// The reply's headers before ICMP: everything goes back where it came from.
size_t emit_head(const wire::EthernetFrame& frame, const wire::IpPacket& packet, size_t carried,
                 wire::MutableBytes out) noexcept {
  wire::EthernetHeader ethernet = frame.header;
  std::swap(ethernet.source, ethernet.destination);
  const size_t at = wire::emit(ethernet, out);
  const bool v4 = packet.source.is_v4();
  return at + wire::emit_ip(packet.destination, packet.source,
                            v4 ? wire::kProtocolIcmpV4 : wire::kProtocolIcmpV6, 0, carried,
                            out.subspan(at));
}

// Ethernet, IP and ICMP around `body`. 0: it does not fit.
size_t emit_message(const wire::EthernetFrame& frame, const wire::IpPacket& packet,
                    const wire::IcmpHeader& header, Bytes body, wire::MutableBytes out) noexcept {
  const size_t carried = wire::kIcmpHeaderLength + body.size();
  const size_t needed = frame.header.length() + wire::ip_header_length(packet.source) + carried;
  if (out.size() < needed) return 0;
  const size_t at = emit_head(frame, packet, carried, out);
  const uint32_t pseudo =
      header.is_v6 ? wire::pseudo_header_sum(packet.destination, packet.source,
                                             wire::kProtocolIcmpV6, static_cast<uint32_t>(carried))
                   : 0;
  return at + wire::emit(header, body, pseudo, out.subspan(at));
}

}  // namespace

size_t IcmpResponder::answer_echo(Bytes bytes, std::span<const IpAddress> ours,
                                  wire::MutableBytes out) noexcept {
  const auto frame = wire::EthernetFrame::parse(bytes);
  if (!frame) return 0;
  const auto packet = wire::IpPacket::parse(*frame);
  if (!packet || packet->fragment) return 0;
  const bool v4 = packet->source.is_v4();
  if (packet->protocol != (v4 ? wire::kProtocolIcmpV4 : wire::kProtocolIcmpV6)) return 0;
  const auto message =
      v4 ? wire::IcmpMessage::parse_v4(packet->payload)
         : wire::IcmpMessage::parse_v6(packet->payload, packet->source, packet->destination);
  if (!message) {
    ++counters_.bad;
    return 0;
  }
  // RFC 1122 §3.2.2.6: not to a broadcast or a group.
  if (message->header.kind() != wire::IcmpKind::echo_request || !of_one_host(packet->source) ||
      std::find(ours.begin(), ours.end(), packet->destination) == ours.end()) {
    return 0;
  }
  const auto reply =
      wire::IcmpHeader::echo(!v4, true, message->header.id(), message->header.sequence());
  const size_t length = emit_message(*frame, *packet, reply, message->body, out);
  if (length != 0) ++counters_.echoes;
  return length;
}

bool IcmpResponder::allowed(uint64_t seconds) noexcept {
  if (seconds != second_) tokens_ = per_second_;
  second_ = seconds;
  if (tokens_ == 0) {
    ++counters_.limited;
    return false;
  }
  --tokens_;
  return true;
}

size_t IcmpResponder::unreachable(Bytes bytes, Unreachable what, uint64_t seconds,
                                  wire::MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kErrorMax);
  const auto frame = wire::EthernetFrame::parse(bytes);
  if (!frame) return 0;
  const auto packet = wire::IpPacket::parse(*frame);
  if (!packet) return 0;
  if (!may_complain(*frame, *packet)) {
    ++counters_.not_to_say;
    return 0;
  }
  if (!allowed(seconds)) return 0;
  const bool v6 = !packet->source.is_v4();
  wire::IcmpHeader header;
  if (what == Unreachable::port) {
    header = wire::IcmpHeader::unreachable(
        v6, v6 ? wire::kIcmpV6PortUnreachable : wire::kIcmpV4PortUnreachable);
  } else if (v6) {
    // RFC 8200 §4: next header 1 (unrecognized), pointing at the field in the fixed header.
    header = wire::IcmpHeader::parameter_problem(true, 1, 6);
  } else {
    header = wire::IcmpHeader::unreachable(false, 2);
  }
  // RFC 1812 §4.3.2.3: as much as fits into 576 bytes; RFC 4443 §2.4 (c): into 1280.
  const size_t most =
      (v6 ? 1280U : 576U) - wire::ip_header_length(packet->source) - wire::kIcmpHeaderLength;
  const Bytes quote = packet->whole.first(std::min(packet->whole.size(), most));
  const size_t length = emit_message(*frame, *packet, header, quote, out);
  if (length != 0) ++counters_.errors;
  return length;
}

}  // namespace paste::ip
