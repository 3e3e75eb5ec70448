// What a log gives back: where a record went, and a record in place.
#pragma once

#include <cstdint>
#include <span>

#include "paste/slot.h"

namespace paste {

struct Appended {
  Lsn lsn;
  Ticket ticket;  // durable when this is
};

// A record in place: its ranges, in order, valid until it is truncated or deleted and that ticket
// is durable. Hold the buffers (Core::hold) to use it longer, for instance while it is being sent.
struct Record {
  Lsn lsn = 0;
  uint64_t time_ns = 0;
  uint32_t length = 0;  // bytes in all
  uint32_t auxiliary = 0;
  std::span<const Slice> slices;  // scratch of the log: valid until its next call
};

struct AppendOptions {
  uint64_t time_ns = 0;    // arrival; 0 takes the wall clock
  uint32_t auxiliary = 0;  // kept with the record; ranges only (see format.h)
};

}  // namespace paste
