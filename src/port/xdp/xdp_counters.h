// What an xdp port counts itself.
#pragma once

#include <cstdint>

namespace paste::port {

struct XdpCounters {
  uint64_t frames_in = 0, frames_out = 0;
  uint64_t malformed = 0, bad_checksum = 0, not_ours = 0;
  uint64_t no_buffer = 0;      // the pool had none to receive into or to send from
  uint64_t transmit_full = 0;  // the ring had no room: sent later
};

}  // namespace paste::port
