// Which interface may write into a pool, kept in the pool itself.
//
// After a SIGKILL the kernel tears an AF_XDP socket down some time after the process has gone, and
// until then the interface may still write into the buffers that were posted. So the pool records
// what it is bound to, DURABLE before a buffer is posted, and whoever opens it later waits until
// the kernel lets the queues be bound again, before any buffer counts as free.
#pragma once

#include "paste/result.h"
#include "pool/core.h"
#include "port/xdp/interface.h"

namespace paste::port {

// DURABLE on return. Errors: failed, pool_full.
Result<void> record_binding(pool::Core& core, const Interface& interface);

// To be called after Core::open() and before anything is taken from the pool. Returns when no
// interface writes into it any more. Errors: permission (asking needs CAP_NET_RAW), in_use (the old
// owner still lives).
Result<void> wait_for_old_bindings(const pool::Core& core);

}  // namespace paste::port
