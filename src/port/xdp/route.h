// How the kernel would reach an address: its routes and neighbours, asked for one at a time.
#pragma once

#include <optional>

#include "paste/result.h"
#include "tcp/tuple.h"
#include "wire/address.h"

namespace paste::port {

struct Route {
  int ifindex = 0;
  tcp::Address source{};    // what the kernel would send from
  tcp::Address next_hop{};  // the address itself if it is on the link
  bool local = false;       // it is an address of this host
};

// RTM_GETROUTE (rtnetlink(7)). Errors: not_found (no route), io.
[[nodiscard]] Result<Route> find_route(const tcp::Address& to);

// The link-layer address of a neighbour. Makes the kernel ask for it if it does not know, and waits
// up to a second. Errors: not_found (nobody answers), io.
[[nodiscard]] Result<wire::MacAddress> find_neighbour(int ifindex, const tcp::Address& address);

}  // namespace paste::port
