// The walk over extension headers, kept out of the way of the usual packet that has none.
#include "wire/ipv6.h"

#include <optional>

namespace paste::wire {
namespace {

constexpr uint8_t kOptionPad1 = 0;
constexpr uint8_t kOptionPadN = 1;
constexpr uint8_t kOptionRouterAlert = 5;

// RFC 8200 §4.2: the two top bits of an unknown option say what becomes of the packet.
std::optional<Malformed> check_options(Bytes header, uint32_t& problem_at) noexcept {
  size_t at = 2;
  while (at < header.size()) {
    const uint8_t type = load8(header, at);
    if (type == kOptionPad1) {
      ++at;
      continue;
    }
    if (at + 2 > header.size()) return Malformed::ipv6_option_length;
    const size_t end = at + 2 + load8(header, at + 1);
    if (end > header.size()) return Malformed::ipv6_option_length;
    if (type != kOptionPadN && type != kOptionRouterAlert && type >> 6 != 0) {
      problem_at = static_cast<uint32_t>(at);
      return type >> 6 == 1 ? Malformed::ipv6_option_discard : Malformed::ipv6_option_unknown;
    }
    at = end;
  }
  return std::nullopt;
}

bool read_fragment(Bytes bytes, Ipv6Packet& packet) noexcept {
  const uint16_t word = load16(bytes, 2);  // two reserved bits are ignored
  packet.has_fragment_header = true;
  packet.fragment = {load32(bytes, 4), static_cast<uint16_t>(word & 0xFFF8), (word & 1) != 0};
  const size_t length = bytes.size() - 8;
  return packet.fragment.offset + length <= 0xFFFF &&
         (!packet.fragment.more || (length > 0 && length % 8 == 0));
}

// What is wrong with one extension header (as long as `header`), if anything. `rest` begins with
// it and goes to the end of the packet.
std::optional<Malformed> check_extension(uint8_t type, Bytes header, Bytes rest, Ipv6Packet& packet,
                                         uint32_t& problem_at) noexcept {
  switch (type) {
    case kExtensionHopByHop:
      if (packet.extensions_length != 0) return Malformed::ipv6_hop_by_hop_place;
      return check_options(header, problem_at);
    case kExtensionDestination:
      return check_options(header, problem_at);
    case kExtensionRouting:
      problem_at = 2;  // RFC 8200 §4.4: the type of routing, unknown here
      return load8(header, 3) != 0 ? std::optional(Malformed::ipv6_routing) : std::nullopt;
    default:
      problem_at = 2;
      if (!read_fragment(rest, packet)) return Malformed::ipv6_fragment;
      return std::nullopt;
  }
}

bool is_extension(uint8_t type) noexcept {
  return type == kExtensionHopByHop || type == kExtensionRouting || type == kExtensionFragment ||
         type == kExtensionDestination;
}

}  // namespace

ParseResult<Ipv6Packet> Ipv6Packet::walk_extensions(Ipv6Packet packet,
                                                    uint32_t& problem_at) noexcept {
  const Bytes all = packet.payload;
  size_t at = 0;
  size_t type_at = 6;  // where the number of the next header stands, from the packet's begin
  for (size_t count = 0; !is_final(packet.header.protocol); ++count) {
    const uint8_t type = packet.header.protocol;
    problem_at = static_cast<uint32_t>(type_at);
    if (!is_extension(type)) return malformed(Malformed::ipv6_unknown_next_header);
    if (count == kIpv6ExtensionsMax) return malformed(Malformed::ipv6_extension_count);
    const Bytes rest = all.subspan(at);
    if (rest.size() < 8) return malformed(Malformed::ipv6_extension_length);
    const size_t length = type == kExtensionFragment ? 8 : 8 + size_t{load8(rest, 1)} * 8;
    if (length > rest.size()) return malformed(Malformed::ipv6_extension_length);
    uint32_t within = 0;
    if (const auto bad = check_extension(type, rest.first(length), rest, packet, within)) {
      if (*bad != Malformed::ipv6_hop_by_hop_place) {
        problem_at = static_cast<uint32_t>(kIpv6HeaderLength + at + within);
      }
      return malformed(*bad);
    }
    type_at = kIpv6HeaderLength + at;
    at += length;
    packet.extensions_length = static_cast<uint16_t>(at);
    packet.header.protocol = load8(rest, 0);
    packet.payload = all.subspan(at);
    if (packet.is_fragment()) break;
  }
  return packet;
}

}  // namespace paste::wire
