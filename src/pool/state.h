// What a core keeps between its steps: the commit state machine (tickets.cc), the stock and the
// reserves (ownership.cc), the roots (roots.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "paste/slot.h"
#include "pool/format.h"
#include "pool/types.h"

namespace paste::pool {

// Where the list in a publish area stands; see tickets.cc.
enum class Stage : uint8_t { free, committing, stored, settling, cleared, retiring };

struct Area {
  std::byte* at = nullptr;
  Stage stage = Stage::free;
  Ticket ticket;  // of its list
};

// The ticket whose barriers are running.
struct Syncing {
  enum class Phase : uint8_t { idle, first, second };
  Phase phase = Phase::idle;
  Ticket ticket;
  Area* area = nullptr;  // null: it has no list
  std::vector<format::PublishItem> items;
};

// What a ticket frees, kept until nothing durable can reach it.
struct Deferred {
  Ticket ticket;
  std::vector<BufferName> buffers;
  std::vector<format::RootEntry*> places;
  std::vector<BufferName> zeroed;  // durable zeroes once the ticket is
};
struct Deferrals {
  // What the filling ticket frees waits from here on until it is safe to use again.
  void close(Ticket ticket);

  Deferred filling;
  std::vector<Deferred> waiting;  // oldest first; a few
  std::vector<Deferred> spare;    // emptied ones: their capacity is used again
};

// Structure buffers held once, full of durable zeroes.
struct Stock {
  std::vector<BufferName> pages;
  uint32_t pending = 0;  // being made durable
  uint32_t target = 16;
  std::vector<BufferName> fresh;  // scratch of an out-of-turn barrier
};

// In buffers; see Purpose.
struct Reserves {
  uint64_t structure = 0;
  uint64_t receive = 0;
};

struct RootTable {
  std::vector<std::unique_ptr<Root>> all;  // deleted ones too
  std::vector<format::RootEntry*> free_places;
  std::vector<BufferName> pages;
  uint64_t next_id = 1;  // as at the end of the filling ticket
};

}  // namespace paste::pool
