// Between Ethernet frames and segments: what a TCP packet is on the wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tcp/segment.h"
#include "tcp/tuple.h"
#include "wire/malformed.h"

namespace paste::tcp {

// Ethernet, IPv6, TCP with all its options.
inline constexpr size_t kHeadersMax = 14 + 40 + 60;

struct Packet {
  FourTuple tuple;  // seen from us: `local` is the destination
  // `payload` has offset and length within the frame; its buffer is not known here.
  Segment segment;
};

// Why a frame is no TCP segment for us.
enum class Refused : uint8_t {
  malformed,  // wire::Malformed, in `detail`
  not_ip,
  not_tcp,
  fragment,  // RFC 9293 leaves reassembly to IP; ours does none
  bad_checksum,
  bad_address,  // RFC 9293 MUST-57, MUST-63: no address of one host
};
struct Refusal {
  Refused reason;
  wire::Malformed detail{};
};

// A frame with one TCP segment, checksums verified. Offsets up to 65535.
[[nodiscard]] tl::expected<Packet, Refusal> parse_packet(Bytes frame) noexcept;
// The same into `packet`, which is undefined if it is refused.
[[nodiscard]] std::optional<Refusal> parse_packet(Bytes frame, Packet& packet) noexcept;

// Writes the headers of `out` for a packet from tuple.local to tuple.remote, its checksums
// included, and returns their length; the payload, which is summed once and not copied, follows.
// The bytes of the payload's slices lie in `memory` at buffer × buffer_size + offset.
// REQUIRES: headers.size() >= kHeadersMax; both addresses are of one version.
size_t emit_packet(const FourTuple& tuple, const Outgoing& out, Bytes memory, size_t buffer_size,
                   std::span<std::byte> headers) noexcept;

}  // namespace paste::tcp
