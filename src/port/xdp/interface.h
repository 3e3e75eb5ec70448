// What an xdp port must know of a network interface.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "paste/result.h"
#include "tcp/tuple.h"
#include "wire/address.h"

namespace paste::port {

// An address without brackets, of either version of IP. Error: invalid.
[[nodiscard]] Result<tcp::Address> parse_address(const std::string& text);

struct Interface {
  std::string name;
  int index = 0;
  // Where frames pass: the same, or what a VLAN's interface is on.
  std::string device;
  int device_index = 0;
  uint16_t vlan = 0;  // of the tag; 0: none
  wire::MacAddress mac;
  uint32_t mtu = 0;
  uint32_t receive_queues = 1;  // of the device
  std::string driver;           // of the device; empty if it does not say
  std::vector<tcp::Address> addresses;

  // Errors: not_found (names those there are), invalid (no Ethernet), io.
  static Result<Interface> find(const std::string& name);
  [[nodiscard]] bool has(const tcp::Address& address) const noexcept;
};

}  // namespace paste::port
