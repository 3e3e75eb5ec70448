// Neighbour solicitation and advertisement of IPv6 over Ethernet: RFC 4861 §4.3, §4.4, §7.1.
#pragma once

#include "wire/icmp.h"

namespace paste::wire {

inline constexpr uint8_t kNeighbourHopLimit = 255;  // what RFC 4861 has a receiver insist on
inline constexpr size_t kNeighbourLengthMax = kIcmpHeaderLength + 16 + 8;

// Invariant: the flags are of advertisements only.
struct NeighbourMessage {
  bool is_advertisement = false;
  bool router = false;
  bool solicited = false;
  bool overrides = false;
  IpAddress target;
  // Of the source in a solicitation, of the target in an advertisement.
  bool has_mac = false;
  MacAddress mac;

  friend constexpr bool operator==(const NeighbourMessage&, const NeighbourMessage&) = default;
  [[nodiscard]] constexpr size_t length() const noexcept {
    return kIcmpHeaderLength + 16 + (has_mac ? 8 : 0);
  }

  // That the hop limit was 255, and what the addresses of the packet must be, is for the caller.
  // REQUIRES: the message's kind is neighbour_solicitation or neighbour_advertisement.
  [[nodiscard]] static ParseResult<NeighbourMessage> parse(const IcmpMessage& message) noexcept;
};

// Writes the whole ICMP message, checksum included, and returns message.length().
// REQUIRES: out.size() >= message.length(), the target is no address of IPv4.
size_t emit(const NeighbourMessage& message, const IpAddress& source, const IpAddress& destination,
            MutableBytes out) noexcept;

}  // namespace paste::wire
