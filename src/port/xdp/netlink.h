// Questions to the kernel over netlink(7), one at a time.
#pragma once

#include <libmnl/libmnl.h>

#include <functional>

#include "tcp/tuple.h"

namespace paste::port {

using TakeMessage = std::function<void(const nlmsghdr*)>;

// Sends a request and hands every message of the answer to `take`. `request->nlmsg_flags` may ask
// for a dump or an acknowledgement. Returns 0 or an errno.
int ask_netlink(int protocol, nlmsghdr* request, const TakeMessage& take);

// An address of either version; all zeros if it is none.
[[nodiscard]] tcp::Address get_address(const nlattr* attribute);

// Begins a request of a generic family (genetlink).
void put_generic(nlmsghdr* request, uint16_t family, uint8_t command);
// The number of the family "netdev" (Linux 6.3); 0 if the kernel has none.
[[nodiscard]] uint16_t netdev_family();

// Calls `see(attribute)` for each attribute behind a family header of `header` octets.
template <typename See>
void each_attribute(const nlmsghdr* message, unsigned header, See&& see) {
  const auto trampoline = [](const nlattr* attribute, void* context) {
    (*static_cast<std::remove_reference_t<See>*>(context))(attribute);
    return MNL_CB_OK;
  };
  (void)mnl_attr_parse(message, header, trampoline, &see);
}

}  // namespace paste::port
