// IPv4: RFC 791, RFC 1122 §3.2.1.
#pragma once

#include "base/check.h"
#include "wire/address.h"
#include "wire/checksum.h"
#include "wire/malformed.h"
#include "wire/protocol.h"

namespace paste::wire {

inline constexpr size_t kIpv4HeaderLength = 20;  // without options

// Invariant: both addresses are of IPv4.
struct Ipv4Header {
  IpAddress source = IpAddress::from_v4(0);
  IpAddress destination = IpAddress::from_v4(0);
  uint16_t id = 0;
  uint8_t traffic_class = 0;  // DSCP and ECN
  uint8_t ttl = 64;
  uint8_t protocol = 0;
  bool dont_fragment = true;
  bool more_fragments = false;
  uint16_t fragment_offset = 0;  // in bytes, a multiple of 8

  friend constexpr bool operator==(const Ipv4Header&, const Ipv4Header&) = default;
  [[nodiscard]] constexpr uint8_t ecn() const noexcept { return traffic_class & kEcnMask; }
  [[nodiscard]] constexpr bool is_fragment() const noexcept {
    return more_fragments || fragment_offset != 0;
  }
};

struct Ipv4Packet {
  Ipv4Header header;
  uint8_t header_length = 0;  // with its options, which are skipped
  Bytes payload;              // what total length covers; link padding is cut off

  [[nodiscard]] static ParseResult<Ipv4Packet> parse(Bytes bytes) noexcept {
    if (bytes.size() < kIpv4HeaderLength) return malformed(Malformed::ipv4_truncated);
    const uint8_t first = load8(bytes, 0);
    if (first >> 4 != 4) return malformed(Malformed::ipv4_version);
    const size_t header_length = (first & 15u) * 4;
    if (header_length < kIpv4HeaderLength || header_length > bytes.size()) {
      return malformed(Malformed::ipv4_header_length);
    }
    const size_t total = load16(bytes, 2);
    if (total < header_length || total > bytes.size()) {
      return malformed(Malformed::ipv4_total_length);
    }
    if (checksum(bytes.first(header_length)) != 0) return malformed(Malformed::ipv4_checksum);
    Ipv4Packet packet;
    packet.header = fields(bytes);
    packet.header_length = static_cast<uint8_t>(header_length);
    packet.payload = bytes.subspan(header_length, total - header_length);
    if (packet.header.is_fragment() && !fragment_ok(packet)) {
      return malformed(Malformed::ipv4_fragment);
    }
    return packet;
  }

  // The fields of a header that may not be whole otherwise: a packet that ICMP quotes.
  // REQUIRES: bytes.size() >= 20.
  [[nodiscard]] static Ipv4Header fields(Bytes bytes) noexcept {
    Ipv4Header header;
    header.traffic_class = load8(bytes, 1);
    header.id = load16(bytes, 4);
    const uint16_t fragment = load16(bytes, 6);  // the reserved top bit is ignored
    header.dont_fragment = (fragment & 0x4000) != 0;
    header.more_fragments = (fragment & 0x2000) != 0;
    header.fragment_offset = static_cast<uint16_t>((fragment & 0x1FFF) * 8);
    header.ttl = load8(bytes, 8);
    header.protocol = load8(bytes, 9);
    header.source = IpAddress::load_v4(bytes, 12);
    header.destination = IpAddress::load_v4(bytes, 16);
    return header;
  }

 private:
  [[nodiscard]] static bool fragment_ok(const Ipv4Packet& packet) noexcept {
    const size_t length = packet.payload.size();
    const size_t end = packet.header.fragment_offset + length + packet.header_length;
    return end <= 0xFFFF && (!packet.header.more_fragments || (length > 0 && length % 8 == 0));
  }
};

// Writes a header without options for `payload_length` bytes after it, its checksum included.
// REQUIRES: out.size() >= 20, payload_length <= 65515, both addresses of IPv4, offset / 8 whole.
inline size_t emit(const Ipv4Header& header, size_t payload_length, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kIpv4HeaderLength);
  PASTE_CHECK(payload_length <= 0xFFFF - kIpv4HeaderLength);
  PASTE_CHECK(header.fragment_offset % 8 == 0);
  PASTE_CHECK(header.source.is_v4() && header.destination.is_v4());
  store8(out, 0, 0x45);
  store8(out, 1, header.traffic_class);
  store16(out, 2, static_cast<uint16_t>(kIpv4HeaderLength + payload_length));
  store16(out, 4, header.id);
  const int flags = (header.dont_fragment ? 0x4000 : 0) | (header.more_fragments ? 0x2000 : 0);
  store16(out, 6, static_cast<uint16_t>(flags | header.fragment_offset / 8));
  store8(out, 8, header.ttl);
  store8(out, 9, header.protocol);
  store16(out, 10, 0);
  store32(out, 12, header.source.v4());
  store32(out, 16, header.destination.v4());
  store16(out, 10, checksum(out.first(kIpv4HeaderLength)));
  return kIpv4HeaderLength;
}

}  // namespace paste::wire
