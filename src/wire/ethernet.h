// Ethernet II frames, with up to two VLAN tags (IEEE 802.1Q, 802.1ad).
#pragma once

#include "base/check.h"
#include "wire/address.h"
#include "wire/malformed.h"

namespace paste::wire {

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86DD;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kEtherTypeServiceVlan = 0x88A8;
inline constexpr size_t kEthernetHeaderLength = 14;
inline constexpr size_t kVlanTagLength = 4;

struct VlanTag {
  uint16_t type = kEtherTypeVlan;  // which kind of tag
  uint16_t control = 0;            // priority (3 bits), drop eligible (1), identifier (12)
  friend constexpr bool operator==(VlanTag, VlanTag) = default;
  [[nodiscard]] constexpr uint16_t id() const noexcept { return control & 0x0FFF; }
};

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  uint16_t type = 0;  // of the payload, after the tags
  uint8_t vlan_count = 0;
  VlanTag vlan[2];  // the outer one first

  friend constexpr bool operator==(const EthernetHeader&, const EthernetHeader&) = default;
  [[nodiscard]] constexpr size_t length() const noexcept {
    return kEthernetHeaderLength + vlan_count * kVlanTagLength;
  }
};

struct EthernetFrame {
  EthernetHeader header;
  Bytes payload;  // of the frame parsed; may end with padding up to the shortest frame

  [[nodiscard]] static ParseResult<EthernetFrame> parse(Bytes bytes) noexcept {
    if (bytes.size() < kEthernetHeaderLength) return malformed(Malformed::ethernet_truncated);
    EthernetFrame frame;
    EthernetHeader& header = frame.header;
    header.destination = MacAddress::load(bytes, 0);
    header.source = MacAddress::load(bytes, 6);
    size_t at = 12;
    uint16_t type = load16(bytes, at);
    while (type == kEtherTypeVlan || type == kEtherTypeServiceVlan) {
      if (header.vlan_count == 2) return malformed(Malformed::vlan_too_deep);
      if (bytes.size() < at + 6) return malformed(Malformed::ethernet_truncated);
      header.vlan[header.vlan_count++] = {type, load16(bytes, at + 2)};
      at += kVlanTagLength;
      type = load16(bytes, at);
    }
    if (type < 0x0600) return malformed(Malformed::ethernet_not_typed);
    header.type = type;
    frame.payload = bytes.subspan(at + 2);
    return frame;
  }
};

// Writes the header and returns its length.
// REQUIRES: vlan_count <= 2, out.size() >= header.length().
inline size_t emit(const EthernetHeader& header, MutableBytes out) noexcept {
  PASTE_CHECK(header.vlan_count <= 2);
  PASTE_CHECK(out.size() >= header.length());
  header.destination.store(out, 0);
  header.source.store(out, 6);
  size_t at = 12;
  for (size_t i = 0; i < header.vlan_count; ++i, at += kVlanTagLength) {
    store16(out, at, header.vlan[i].type);
    store16(out, at + 2, header.vlan[i].control);
  }
  store16(out, at, header.type);
  return at + 2;
}

}  // namespace paste::wire
