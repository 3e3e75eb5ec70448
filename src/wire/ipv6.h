// IPv6 and the extension headers that an end host meets: RFC 8200.
#pragma once

#include "base/check.h"
#include "wire/address.h"
#include "wire/malformed.h"
#include "wire/protocol.h"

namespace paste::wire {

inline constexpr size_t kIpv6HeaderLength = 40;
inline constexpr size_t kIpv6ExtensionsMax = 8;  // RFC 8504 §5.3 lets a host limit them

inline constexpr uint8_t kExtensionHopByHop = 0;
inline constexpr uint8_t kExtensionRouting = 43;
inline constexpr uint8_t kExtensionFragment = 44;
inline constexpr uint8_t kExtensionDestination = 60;

// Invariant: no address is IPv4-mapped.
struct Ipv6Header {
  IpAddress source;
  IpAddress destination;
  uint32_t flow_label = 0;  // 20 bits
  uint8_t traffic_class = 0;
  uint8_t hop_limit = 64;
  uint8_t protocol = 0;  // of what follows the extension headers

  friend constexpr bool operator==(const Ipv6Header&, const Ipv6Header&) = default;
  [[nodiscard]] constexpr uint8_t ecn() const noexcept { return traffic_class & kEcnMask; }
};

struct Ipv6Fragment {
  uint32_t id = 0;
  uint16_t offset = 0;  // in bytes, a multiple of 8
  bool more = false;
  friend constexpr bool operator==(const Ipv6Fragment&, const Ipv6Fragment&) = default;
};

struct Ipv6Packet {
  Ipv6Header header;
  uint16_t extensions_length = 0;
  bool has_fragment_header = false;
  Ipv6Fragment fragment;
  Bytes payload;  // after the extension headers; of a fragment, its part of the whole

  // A whole packet in one fragment ("atomic", RFC 6946) is none.
  [[nodiscard]] constexpr bool is_fragment() const noexcept {
    return fragment.more || fragment.offset != 0;
  }
  // Of a fragment, what follows the fragment header is not walked. When an error is one to report
  // (parameter problem), *problem_at is where in the packet it is.
  [[nodiscard]] static ParseResult<Ipv6Packet> parse(Bytes bytes,
                                                     uint32_t* problem_at = nullptr) noexcept {
    if (bytes.size() < kIpv6HeaderLength) return malformed(Malformed::ipv6_truncated);
    const uint32_t first = load32(bytes, 0);
    if (first >> 28 != 6) return malformed(Malformed::ipv6_version);
    const size_t length = load16(bytes, 4);
    if (length > bytes.size() - kIpv6HeaderLength) {
      return malformed(Malformed::ipv6_payload_length);
    }
    Ipv6Packet packet;
    packet.header = fields(bytes);
    if (packet.header.source.is_v4() || packet.header.destination.is_v4()) {
      return malformed(Malformed::ipv6_mapped_address);
    }
    packet.payload = bytes.subspan(kIpv6HeaderLength, length);
    if (!is_final(packet.header.protocol)) [[unlikely]] {
      uint32_t ignored = 0;
      return walk_extensions(packet, problem_at == nullptr ? ignored : *problem_at);
    }
    return packet;
  }

  // The fields of the fixed header; `protocol` is its next header, extension or not.
  // REQUIRES: bytes.size() >= 40.
  [[nodiscard]] static Ipv6Header fields(Bytes bytes) noexcept {
    const uint32_t first = load32(bytes, 0);
    Ipv6Header header;
    header.traffic_class = static_cast<uint8_t>(first >> 20);
    header.flow_label = first & 0xFFFFF;
    header.protocol = load8(bytes, 6);
    header.hop_limit = load8(bytes, 7);
    header.source = IpAddress::load_v6(bytes, 8);
    header.destination = IpAddress::load_v6(bytes, 24);
    return header;
  }

  [[nodiscard]] static constexpr bool is_final(uint8_t protocol) noexcept {
    return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolIcmpV6 ||
           protocol == kProtocolNone;
  }

 private:
  [[nodiscard]] static ParseResult<Ipv6Packet> walk_extensions(Ipv6Packet packet,
                                                               uint32_t& problem_at) noexcept;
};

// Writes the fixed header for `payload_length` bytes after it.
// REQUIRES: out.size() >= 40, payload_length <= 65535, no address of IPv4, flow_label < 2^20.
inline size_t emit(const Ipv6Header& header, size_t payload_length, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kIpv6HeaderLength);
  PASTE_CHECK(payload_length <= 0xFFFF);
  PASTE_CHECK(header.flow_label <= 0xFFFFF);
  PASTE_CHECK(!header.source.is_v4() && !header.destination.is_v4());
  store32(out, 0, 0x60000000u | uint32_t{header.traffic_class} << 20 | header.flow_label);
  store16(out, 4, static_cast<uint16_t>(payload_length));
  store8(out, 6, header.protocol);
  store8(out, 7, header.hop_limit);
  header.source.store(out, 8);
  header.destination.store(out, 24);
  return kIpv6HeaderLength;
}

}  // namespace paste::wire
