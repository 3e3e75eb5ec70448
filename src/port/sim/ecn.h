// Congestion marks in frames, as a router on the way sets them.
#pragma once

#include "port/sim/frame.h"

namespace paste::sim {

// Sets Congestion Experienced in an IPv4 or IPv6 packet whose sender is ECN-capable (RFC 3168 §5),
// behind at most one VLAN tag, and repairs IPv4's header checksum. Returns whether it did: not for
// packets that are not capable or marked already, nor for anything else.
bool mark_ce(Frame& frame) noexcept;

}  // namespace paste::sim
