// What an xdp port counts itself, and small parts of it.
#pragma once

#include <cstdint>

#include "paste/endpoint.h"
#include "paste/event.h"
#include "tcp/tuple.h"

namespace paste::port {

struct XdpCounters {
  uint64_t frames_in = 0, frames_out = 0;
  uint64_t malformed = 0, bad_checksum = 0, not_ours = 0;
  uint64_t no_buffer = 0;      // the pool had none to receive into or to send from
  uint64_t transmit_full = 0;  // the ring had no room: sent later
};

struct XdpListener {
  Endpoint bound;
  tcp::Address address{};
  bool stopped = false;
};

// A connection that is reset if it has not ended by then.
struct XdpLinger {
  uint64_t deadline_ns;
  ConnectionId connection;
};

}  // namespace paste::port
