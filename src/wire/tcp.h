// The header of TCP: RFC 9293 §3.1.
//    0 source port, destination port     4 sequence number      8 acknowledgment number
//   12 header length / 4 (4 bits), reserved (4), flags (8), window
//   16 checksum, urgent pointer         20 options
#pragma once

#include "base/check.h"
#include "wire/checksum.h"
#include "wire/malformed.h"
#include "wire/protocol.h"
#include "wire/tcp_options.h"

namespace paste::wire {

inline constexpr size_t kTcpHeaderLength = 20;  // without options
inline constexpr size_t kTcpHeaderLengthMax = kTcpHeaderLength + kTcpOptionsMax;

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;
inline constexpr uint8_t kTcpEce = 0x40;
inline constexpr uint8_t kTcpCwr = 0x80;

struct TcpHeader {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint8_t flags = 0;
  uint8_t header_length = kTcpHeaderLength;  // in bytes; emit() computes its own
  uint16_t window = 0;                       // as the wire has it, not scaled
  uint16_t checksum = 0;
  uint16_t urgent = 0;

  friend constexpr bool operator==(const TcpHeader&, const TcpHeader&) = default;
  [[nodiscard]] constexpr bool has(uint8_t flag) const noexcept { return (flags & flag) != 0; }
};

struct TcpSegment {
  TcpHeader header;
  TcpOptions options;
  Bytes payload;

  // `bytes` is all that IP carries. The reserved bits are ignored (RFC 9293 §3.1); the checksum is
  // not verified: transport_checksum_ok() does that, where the card has not.
  [[nodiscard]] static ParseResult<TcpSegment> parse(Bytes bytes) noexcept {
    if (bytes.size() < kTcpHeaderLength) return malformed(Malformed::tcp_truncated);
    const size_t length = (load8(bytes, 12) >> 4) * size_t{4};
    if (length < kTcpHeaderLength || length > bytes.size()) {
      return malformed(Malformed::tcp_header_length);
    }
    const auto options =
        TcpOptions::parse(bytes.subspan(kTcpHeaderLength, length - kTcpHeaderLength));
    if (!options) return malformed(options.error());
    return TcpSegment{fields(bytes), *options, bytes.subspan(length)};
  }

  // REQUIRES: bytes.size() >= 20.
  [[nodiscard]] static TcpHeader fields(Bytes bytes) noexcept {
    TcpHeader header;
    header.source_port = load16(bytes, 0);
    header.destination_port = load16(bytes, 2);
    header.sequence = load32(bytes, 4);
    header.acknowledgment = load32(bytes, 8);
    header.header_length = static_cast<uint8_t>((load8(bytes, 12) >> 4) * 4);
    header.flags = load8(bytes, 13);
    header.window = load16(bytes, 14);
    header.checksum = load16(bytes, 16);
    header.urgent = load16(bytes, 18);
    return header;
  }
};

// Writes the header with its options and returns its length; the checksum as it is given, the
// header length as the options need it, the reserved bits 0.
// REQUIRES: out.size() >= 20 + options.length(), and what emit() of the options requires.
inline size_t emit(const TcpHeader& header, const TcpOptions& options, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kTcpHeaderLength);
  const size_t length = kTcpHeaderLength + emit(options, out.subspan(kTcpHeaderLength));
  store16(out, 0, header.source_port);
  store16(out, 2, header.destination_port);
  store32(out, 4, header.sequence);
  store32(out, 8, header.acknowledgment);
  store8(out, 12, static_cast<uint8_t>(length / 4 << 4));
  store8(out, 13, header.flags);
  store16(out, 14, header.window);
  store16(out, 16, header.checksum);
  store16(out, 18, header.urgent);
  return length;
}

// Computes the checksum of a segment and writes it into its header. `payload` is sum() of the
// payload or the total of a Sum's pieces; `pseudo` is pseudo_header_sum() over both lengths.
// REQUIRES: `header` is exactly the emitted header.
inline void store_tcp_checksum(MutableBytes header, uint32_t pseudo, uint32_t payload) noexcept {
  PASTE_CHECK(header.size() >= kTcpHeaderLength);
  store16(header, 16, 0);
  // fold() first: both partial sums may be unfolded and near 2^32.
  const uint32_t initial = uint32_t{fold(pseudo)} + fold(payload);
  store16(header, 16, checksum(header, initial));
}

}  // namespace paste::wire
