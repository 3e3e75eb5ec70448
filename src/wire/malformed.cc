#include "wire/malformed.h"

namespace paste::wire {

std::string_view to_string(Malformed reason) noexcept {
  switch (reason) {
    case Malformed::ethernet_truncated:
      return "ethernet_truncated";
    case Malformed::ethernet_not_typed:
      return "ethernet_not_typed";
    case Malformed::vlan_too_deep:
      return "vlan_too_deep";
    case Malformed::arp_truncated:
      return "arp_truncated";
    case Malformed::arp_not_ipv4:
      return "arp_not_ipv4";
    case Malformed::arp_operation:
      return "arp_operation";
    case Malformed::ipv4_truncated:
      return "ipv4_truncated";
    case Malformed::ipv4_version:
      return "ipv4_version";
    case Malformed::ipv4_header_length:
      return "ipv4_header_length";
    case Malformed::ipv4_total_length:
      return "ipv4_total_length";
    case Malformed::ipv4_checksum:
      return "ipv4_checksum";
    case Malformed::ipv4_fragment:
      return "ipv4_fragment";
    case Malformed::ipv6_truncated:
      return "ipv6_truncated";
    case Malformed::ipv6_version:
      return "ipv6_version";
    case Malformed::ipv6_payload_length:
      return "ipv6_payload_length";
    case Malformed::ipv6_mapped_address:
      return "ipv6_mapped_address";
    case Malformed::ipv6_extension_length:
      return "ipv6_extension_length";
    case Malformed::ipv6_extension_count:
      return "ipv6_extension_count";
    case Malformed::ipv6_hop_by_hop_place:
      return "ipv6_hop_by_hop_place";
    case Malformed::ipv6_option_length:
      return "ipv6_option_length";
    case Malformed::ipv6_option_discard:
      return "ipv6_option_discard";
    case Malformed::ipv6_option_unknown:
      return "ipv6_option_unknown";
    case Malformed::ipv6_routing:
      return "ipv6_routing";
    case Malformed::ipv6_fragment:
      return "ipv6_fragment";
    case Malformed::ipv6_unknown_next_header:
      return "ipv6_unknown_next_header";
    case Malformed::icmp_truncated:
      return "icmp_truncated";
    case Malformed::icmp_checksum:
      return "icmp_checksum";
    case Malformed::icmp_quote_truncated:
      return "icmp_quote_truncated";
    case Malformed::icmp_quote_version:
      return "icmp_quote_version";
    case Malformed::neighbour_truncated:
      return "neighbour_truncated";
    case Malformed::neighbour_code:
      return "neighbour_code";
    case Malformed::neighbour_target:
      return "neighbour_target";
    case Malformed::neighbour_option_length:
      return "neighbour_option_length";
    case Malformed::udp_truncated:
      return "udp_truncated";
    case Malformed::udp_length:
      return "udp_length";
    case Malformed::tcp_truncated:
      return "tcp_truncated";
    case Malformed::tcp_header_length:
      return "tcp_header_length";
    case Malformed::tcp_option_length:
      return "tcp_option_length";
    case Malformed::tcp_option_size:
      return "tcp_option_size";
    case Malformed::count_:
      break;
  }
  return "unknown";
}

}  // namespace paste::wire
