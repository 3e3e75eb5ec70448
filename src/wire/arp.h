// ARP for IPv4 over Ethernet: RFC 826.
#pragma once

#include "base/check.h"
#include "wire/address.h"
#include "wire/malformed.h"

namespace paste::wire {

inline constexpr uint16_t kArpRequest = 1;
inline constexpr uint16_t kArpReply = 2;
inline constexpr size_t kArpLength = 28;

// Invariants: the operation is a request or a reply, both IP addresses are of IPv4.
struct ArpPacket {
  uint16_t operation = kArpRequest;
  MacAddress sender_mac;
  IpAddress sender_ip = IpAddress::from_v4(0);
  MacAddress target_mac;  // meaningless in a request
  IpAddress target_ip = IpAddress::from_v4(0);

  friend constexpr bool operator==(const ArpPacket&, const ArpPacket&) = default;

  [[nodiscard]] static ParseResult<ArpPacket> parse(Bytes bytes) noexcept {
    if (bytes.size() < kArpLength) return malformed(Malformed::arp_truncated);
    // Hardware 1, protocol 0x0800, address lengths 6 and 4.
    if (load32(bytes, 0) != 0x00010800u || load16(bytes, 4) != 0x0604u) {
      return malformed(Malformed::arp_not_ipv4);
    }
    ArpPacket packet;
    packet.operation = load16(bytes, 6);
    if (packet.operation != kArpRequest && packet.operation != kArpReply) {
      return malformed(Malformed::arp_operation);
    }
    packet.sender_mac = MacAddress::load(bytes, 8);
    packet.sender_ip = IpAddress::load_v4(bytes, 14);
    packet.target_mac = MacAddress::load(bytes, 18);
    packet.target_ip = IpAddress::load_v4(bytes, 24);
    return packet;
  }
};

// REQUIRES: out.size() >= kArpLength; both IP addresses are of IPv4.
inline size_t emit(const ArpPacket& packet, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= kArpLength);
  PASTE_CHECK(packet.sender_ip.is_v4() && packet.target_ip.is_v4());
  store32(out, 0, 0x00010800u);
  store16(out, 4, 0x0604u);
  store16(out, 6, packet.operation);
  packet.sender_mac.store(out, 8);
  packet.sender_ip.store(out, 14);
  packet.target_mac.store(out, 18);
  packet.target_ip.store(out, 24);
  return kArpLength;
}

}  // namespace paste::wire
