// Why bytes are not the packet that they claim to be. Each reason is counted under its own name.
#pragma once

#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

namespace paste::wire {

enum class Malformed : uint8_t {
  ethernet_truncated,        // ends inside the addresses, the type or a tag
  ethernet_not_typed,        // 802.3 with a length instead of a type
  vlan_too_deep,             // more than two tags
  arp_truncated,             // ends inside the 28 bytes
  arp_not_ipv4,              // other hardware or protocol than IPv4 over Ethernet
  arp_operation,             // neither request nor reply
  ipv4_truncated,            // ends inside the header
  ipv4_version,              // the version is not 4
  ipv4_header_length,        // less than 20 bytes, or more than the packet has
  ipv4_total_length,         // less than the header, or more than the buffer has
  ipv4_checksum,             // the header's checksum is wrong
  ipv4_fragment,             // a fragment beyond 65535, or not the last and no multiple of 8
  ipv6_truncated,            // ends inside the header
  ipv6_version,              // the version is not 6
  ipv6_payload_length,       // more than the buffer has
  ipv6_mapped_address,       // an IPv4-mapped address, which must not be on a wire
  ipv6_extension_length,     // an extension header that ends after the packet
  ipv6_extension_count,      // more extension headers than kIpv6ExtensionsMax
  ipv6_hop_by_hop_place,     // hop-by-hop options that are not the first extension
  ipv6_option_length,        // an option that ends after its header
  ipv6_option_discard,       // an unknown option that asks for silent discard
  ipv6_option_unknown,       // an unknown option that asks for discard and a report
  ipv6_routing,              // a routing header that still has segments left
  ipv6_fragment,             // a fragment beyond 65535, or not the last and no multiple of 8
  ipv6_unknown_next_header,  // neither an extension nor a protocol that is known here
  icmp_truncated,            // ends inside the header
  icmp_checksum,             // the checksum is wrong
  icmp_quote_truncated,      // an error whose quoted packet ends inside its IP header
  icmp_quote_version,        // an error whose quoted packet is of the other version of IP
  neighbour_truncated,       // ends inside the target address
  neighbour_code,            // the code is not 0
  neighbour_target,          // the target is a multicast address
  neighbour_option_length,   // an option of length 0, or one that ends after the message
  udp_truncated,             // ends inside the header
  udp_length,                // less than the header, or more than the packet has
  tcp_truncated,             // ends inside the 20 bytes
  tcp_header_length,         // less than 20 bytes, or more than the segment has
  tcp_option_length,         // an option shorter than 2 bytes, or one that ends after the header
  tcp_option_size,           // a known option of a length that it never has
  count_,
};

[[nodiscard]] std::string_view to_string(Malformed reason) noexcept;

template <typename View>
using ParseResult = tl::expected<View, Malformed>;

[[nodiscard]] inline tl::unexpected<Malformed> malformed(Malformed reason) noexcept {
  return tl::unexpected<Malformed>(reason);
}

}  // namespace paste::wire
