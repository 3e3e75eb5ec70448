// What all connections of one engine have in common: options, counters, and the bounded stores that
// each uses only while it needs them.
#pragma once

#include "tcp/connection_options.h"
#include "tcp/out_of_order.h"
#include "tcp/sender.h"
#include "tcp/slab.h"

namespace paste::tcp {

// Must outlive its connections, and does not move. Not thread-safe.
struct Shared {
  // `connections` may have data in flight at a time, and as many may have gaps.
  Shared(const ConnectionOptions& shared_options, uint32_t connections) noexcept
      : options(shared_options), senders(connections), out_of_order(connections) {}

  const ConnectionOptions options;
  ConnectionDrops drops;
  SenderCounters sent;
  Slab<Sender> senders;
  Slab<OutOfOrder> out_of_order;
};

}  // namespace paste::tcp
