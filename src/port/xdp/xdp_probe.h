// What can be told about an interface without using it: for `pst doctor`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "paste/result.h"

namespace paste::port {

struct XdpReport {
  std::string name;
  std::string device;  // where frames pass: the same, or what a VLAN's interface is on
  uint16_t vlan = 0;   // of the tag; 0: none
  std::string driver;
  bool up = false;
  bool ethernet = false;
  uint32_t mtu = 0;
  uint32_t receive_queues = 1;
  uint32_t addresses = 0;
  int numa_node = -1;
  bool large_receive = false;    // LRO: frames are joined before XDP could see them
  bool hardware_groups = false;  // GRO_HW: the same, in the NIC
  bool takes_tags = false;       // VLAN tags are gone before XDP could see them
  // What the driver says of itself (netlink family "netdev", Linux 6.3); nothing: it was not asked.
  std::optional<uint64_t> features;  // NETDEV_XDP_ACT_…
  uint32_t zero_copy_pieces = 0;     // descriptors of a packet in zero copy
  uint64_t receive_hints = 0;        // NETDEV_XDP_RX_METADATA_…: 1 timestamp, 2 hash, 4 VLAN tag
  uint64_t transmit_offloads = 0;    // NETDEV_XSK_FLAGS_…: 1 timestamp, 2 checksum
  uint32_t attached_program = 0;     // the id of an XDP program that is there already
  uint32_t napis = 0;                // that can be driven from a program's own thread
  uint32_t defer_hard_irqs = 0;      // napi_defer_hard_irqs
  uint64_t gro_flush_timeout_ns = 0;

  [[nodiscard]] bool native() const noexcept;
  [[nodiscard]] bool zero_copy() const noexcept;
  [[nodiscard]] bool scatter() const noexcept;  // zero copy in pieces
};

// Errors: not_found.
[[nodiscard]] Result<XdpReport> probe_interface(const std::string& name);
// All but loopback.
[[nodiscard]] std::vector<std::string> interface_names();

}  // namespace paste::port
