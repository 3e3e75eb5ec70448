// UDP: RFC 768, RFC 8200 §8.1.
#pragma once

#include "base/check.h"
#include "wire/checksum.h"
#include "wire/malformed.h"
#include "wire/protocol.h"

namespace paste::wire {

inline constexpr size_t kUdpHeaderLength = 8;

struct UdpHeader {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint16_t checksum = 0;  // 0: none was computed
  friend constexpr bool operator==(const UdpHeader&, const UdpHeader&) = default;
};

struct UdpDatagram {
  UdpHeader header;
  Bytes all;      // header and payload: what the checksum covers
  Bytes payload;  // as the length field says, which may leave bytes of the packet over

  // The checksum is not verified: see checksum_ok().
  [[nodiscard]] static ParseResult<UdpDatagram> parse(Bytes bytes) noexcept {
    if (bytes.size() < kUdpHeaderLength) return malformed(Malformed::udp_truncated);
    const size_t length = load16(bytes, 4);
    if (length < kUdpHeaderLength || length > bytes.size()) {
      return malformed(Malformed::udp_length);
    }
    return UdpDatagram{{load16(bytes, 0), load16(bytes, 2), load16(bytes, 6)},
                       bytes.first(length),
                       bytes.subspan(kUdpHeaderLength, length - kUdpHeaderLength)};
  }

  // IPv4 allows none; IPv6 does not.
  [[nodiscard]] bool checksum_ok(const IpAddress& source,
                                 const IpAddress& destination) const noexcept {
    if (header.checksum == 0) return source.is_v4();
    return transport_checksum_ok(source, destination, kProtocolUdp, all);
  }
};

// What to send for a computed checksum: 0 would mean that there is none.
[[nodiscard]] constexpr uint16_t udp_checksum_field(uint16_t computed) noexcept {
  return computed == 0 ? uint16_t{0xFFFF} : computed;
}

// Writes the header for `payload_length` bytes after it, the checksum as it is given.
// REQUIRES: out.size() >= 8, payload_length <= 65527.
inline size_t emit(const UdpHeader& header, size_t payload_length, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kUdpHeaderLength);
  PASTE_CHECK(payload_length <= 0xFFFF - kUdpHeaderLength);
  store16(out, 0, header.source_port);
  store16(out, 2, header.destination_port);
  store16(out, 4, static_cast<uint16_t>(kUdpHeaderLength + payload_length));
  store16(out, 6, header.checksum);
  return kUdpHeaderLength;
}

}  // namespace paste::wire
