#include "tcp/icmp_error.h"

#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/protocol.h"

namespace paste::tcp {
namespace {

// RFC 1122 §4.2.3.9 for IPv4, RFC 5461 §2 and RFC 4443 §3.1 for IPv6.
bool is_hard(const wire::IcmpHeader& header) noexcept {
  if (header.kind() != wire::IcmpKind::unreachable) return false;
  return header.is_v6 ? header.code == 1 || header.code == wire::kIcmpV6PortUnreachable
                      : header.code == 2 || header.code == wire::kIcmpV4PortUnreachable ||
                            header.code == 10 || header.code == 13;
}

std::optional<wire::IcmpMessage> message_of(Bytes bytes) noexcept {
  const auto frame = wire::EthernetFrame::parse(bytes);
  if (!frame) return std::nullopt;
  const auto packet = wire::IpPacket::parse(*frame);
  if (!packet || packet->fragment) return std::nullopt;
  const bool v4 = packet->source.is_v4();
  if (packet->protocol != (v4 ? wire::kProtocolIcmpV4 : wire::kProtocolIcmpV6)) return std::nullopt;
  const auto message =
      v4 ? wire::IcmpMessage::parse_v4(packet->payload)
         : wire::IcmpMessage::parse_v6(packet->payload, packet->source, packet->destination);
  return message ? std::optional(*message) : std::nullopt;
}

}  // namespace

std::optional<IcmpError> parse_icmp_error(Bytes frame) noexcept {
  const auto message = message_of(frame);
  if (!message) return std::nullopt;
  IcmpError error;
  switch (message->header.kind()) {
    case wire::IcmpKind::packet_too_big:
      error.kind = IcmpError::Kind::too_big;
      error.mtu = message->header.mtu();
      break;
    case wire::IcmpKind::unreachable:
      error.kind = is_hard(message->header) ? IcmpError::Kind::hard : IcmpError::Kind::soft;
      break;
    case wire::IcmpKind::time_exceeded:
    case wire::IcmpKind::parameter_problem:
      break;
    case wire::IcmpKind::other:
    case wire::IcmpKind::echo_request:
    case wire::IcmpKind::echo_reply:
    case wire::IcmpKind::neighbour_solicitation:
    case wire::IcmpKind::neighbour_advertisement:
      return std::nullopt;
  }
  const auto quoted = wire::QuotedPacket::parse(message->body, message->header.is_v6);
  if (!quoted || quoted->protocol != wire::kProtocolTcp || !quoted->has_ports ||
      !quoted->has_sequence) {
    return std::nullopt;
  }
  error.tuple = {.local = quoted->source.octets,
                 .remote = quoted->destination.octets,
                 .local_port = quoted->source_port,
                 .remote_port = quoted->destination_port};
  error.seq = Seq{quoted->sequence};
  return error;
}

uint32_t next_plateau(uint32_t length) noexcept {
  static constexpr uint32_t kPlateaus[] = {65535, 32000, 17914, 8166, 4352, 2002,
                                           1492,  1006,  508,   296,  68};
  for (const uint32_t plateau : kPlateaus) {
    if (plateau < length) return plateau;
  }
  return kPlateaus[10];
}

}  // namespace paste::tcp
