// ICMP for IPv4 (RFC 792, 1191) and IPv6 (RFC 4443): what an end host sends and understands.
#pragma once

#include "base/check.h"
#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/malformed.h"

namespace paste::wire {

inline constexpr size_t kIcmpHeaderLength = 8;

enum class IcmpKind : uint8_t {
  other,  // well-formed, of a type that is not listed here
  echo_request,
  echo_reply,
  unreachable,     // but for the next
  packet_too_big,  // IPv4: unreachable, fragmentation needed
  time_exceeded,
  parameter_problem,
  neighbour_solicitation,   // IPv6; neighbour.h
  neighbour_advertisement,  // IPv6; neighbour.h
};

inline constexpr uint8_t kIcmpV4FragmentationNeeded = 4;  // code of unreachable
inline constexpr uint8_t kIcmpV4PortUnreachable = 3;
inline constexpr uint8_t kIcmpV6PortUnreachable = 4;

struct IcmpHeader {
  bool is_v6 = false;
  uint8_t type = 0;
  uint8_t code = 0;
  uint32_t rest = 0;  // the second half; what is in it depends on the kind

  friend constexpr bool operator==(const IcmpHeader&, const IcmpHeader&) = default;

  [[nodiscard]] constexpr IcmpKind kind() const noexcept { return is_v6 ? kind_v6() : kind_v4(); }
  // One that quotes a packet; RFC 1122 §3.2.2: no error is sent in answer to one.
  [[nodiscard]] constexpr bool is_error() const noexcept {
    // RFC 4443 §2.1 has unknown IPv6 types below 128 be errors; IPv4 adds quench and redirect.
    if (is_v6) return type < 128;
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  }
  // Of echo request and reply.
  [[nodiscard]] constexpr uint16_t id() const noexcept { return static_cast<uint16_t>(rest >> 16); }
  [[nodiscard]] constexpr uint16_t sequence() const noexcept { return static_cast<uint16_t>(rest); }
  // Of packet too big; of IPv4 0 if the router is older than RFC 1191.
  [[nodiscard]] constexpr uint32_t mtu() const noexcept { return is_v6 ? rest : rest & 0xFFFF; }
  // Of parameter problem: the offset in the quoted packet.
  [[nodiscard]] constexpr uint32_t pointer() const noexcept { return is_v6 ? rest : rest >> 24; }

  [[nodiscard]] static constexpr IcmpHeader echo(bool v6, bool reply, uint16_t id,
                                                 uint16_t sequence) noexcept {
    const int type = v6 ? (reply ? 129 : 128) : (reply ? 0 : 8);
    return {v6, static_cast<uint8_t>(type), 0, uint32_t{id} << 16 | sequence};
  }
  [[nodiscard]] static constexpr IcmpHeader unreachable(bool v6, uint8_t code) noexcept {
    return {v6, static_cast<uint8_t>(v6 ? 1 : 3), code, 0};
  }
  [[nodiscard]] static constexpr IcmpHeader packet_too_big(bool v6, uint32_t mtu) noexcept {
    if (v6) return {true, 2, 0, mtu};
    return {false, 3, kIcmpV4FragmentationNeeded, mtu & 0xFFFF};
  }
  [[nodiscard]] static constexpr IcmpHeader time_exceeded(bool v6, uint8_t code) noexcept {
    return {v6, static_cast<uint8_t>(v6 ? 3 : 11), code, 0};
  }
  // IPv4 has room for pointers up to 255.
  [[nodiscard]] static constexpr IcmpHeader parameter_problem(bool v6, uint8_t code,
                                                              uint32_t pointer) noexcept {
    return {v6, static_cast<uint8_t>(v6 ? 4 : 12), code, v6 ? pointer : pointer << 24};
  }

 private:
  [[nodiscard]] constexpr IcmpKind kind_v4() const noexcept {
    switch (type) {
      case 0:
        return IcmpKind::echo_reply;
      case 3:
        return code == kIcmpV4FragmentationNeeded ? IcmpKind::packet_too_big
                                                  : IcmpKind::unreachable;
      case 8:
        return IcmpKind::echo_request;
      case 11:
        return IcmpKind::time_exceeded;
      case 12:
        return IcmpKind::parameter_problem;
      default:
        return IcmpKind::other;
    }
  }
  [[nodiscard]] constexpr IcmpKind kind_v6() const noexcept {
    switch (type) {
      case 1:
        return IcmpKind::unreachable;
      case 2:
        return IcmpKind::packet_too_big;
      case 3:
        return IcmpKind::time_exceeded;
      case 4:
        return IcmpKind::parameter_problem;
      case 128:
        return IcmpKind::echo_request;
      case 129:
        return IcmpKind::echo_reply;
      case 135:
        return IcmpKind::neighbour_solicitation;
      case 136:
        return IcmpKind::neighbour_advertisement;
      default:
        return IcmpKind::other;
    }
  }
};

struct IcmpMessage {
  IcmpHeader header;
  Bytes body;  // echo: its data; error: the quoted packet; neighbours: target and options

  [[nodiscard]] static ParseResult<IcmpMessage> parse_v4(Bytes bytes) noexcept {
    return parse(bytes, false, 0);
  }
  [[nodiscard]] static ParseResult<IcmpMessage> parse_v6(Bytes bytes, const IpAddress& source,
                                                         const IpAddress& destination) noexcept {
    const auto length = static_cast<uint32_t>(bytes.size());
    return parse(bytes, true, pseudo_header_sum(source, destination, kProtocolIcmpV6, length));
  }

 private:
  [[nodiscard]] static ParseResult<IcmpMessage> parse(Bytes bytes, bool v6,
                                                      uint32_t pseudo) noexcept {
    if (bytes.size() < kIcmpHeaderLength) return malformed(Malformed::icmp_truncated);
    if (checksum(bytes, pseudo) != 0) return malformed(Malformed::icmp_checksum);
    return IcmpMessage{{v6, load8(bytes, 0), load8(bytes, 1), load32(bytes, 4)},
                       bytes.subspan(kIcmpHeaderLength)};
  }
};

// Writes header, body and checksum; returns 8 + body.size(). For IPv6 `pseudo` is
// pseudo_header_sum() over that length, for IPv4 it is 0.
// REQUIRES: out.size() >= 8 + body.size(), no overlap.
size_t emit(const IcmpHeader& header, Bytes body, uint32_t pseudo, MutableBytes out) noexcept;

// What an error says about the packet that caused it: enough to find its connection, and by
// RFC 5927 §4.1 to check that its sequence number is in flight.
struct QuotedPacket {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  bool has_ports = false;     // of TCP or UDP, and the quote reaches to them
  bool has_sequence = false;  // of TCP, and the quote reaches to it
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;

  friend constexpr bool operator==(const QuotedPacket&, const QuotedPacket&) = default;
  // A quote is cut short and on its way routers changed it: lengths and checksums are not looked
  // at. Behind IPv6 extension headers nothing is read.
  [[nodiscard]] static ParseResult<QuotedPacket> parse(Bytes bytes, bool v6) noexcept;
};

}  // namespace paste::wire
