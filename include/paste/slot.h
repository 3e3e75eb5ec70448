// Names of buffers, ranges of them, connections, tickets: the words that every layer shares.
#pragma once

#include <compare>
#include <cstdint>

namespace paste {

// A buffer's name: its index in the pool, stable across restarts. Name n lies at byte
// n × buffer_size of the region. Name 0 covers the superblock, so it is never a data buffer and
// stands for "none".
using BufferName = uint32_t;
inline constexpr BufferName kNoBuffer = 0;

// A byte range inside one buffer: [offset, offset + length).
struct Slice {
  BufferName buffer = kNoBuffer;
  uint16_t offset = 0;
  uint16_t length = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};
static_assert(sizeof(Slice) == 8);

// A connection handle. The generation makes a handle of a closed connection harmless: every call
// with one returns Code::closed. {0, 0} is never a connection.
struct ConnectionId {
  uint32_t index = 0;
  uint32_t generation = 0;
  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
  explicit operator bool() const noexcept { return generation != 0; }
};

// The number of a batch. Tickets become durable in order.
struct Ticket {
  uint64_t value = 0;
  friend auto operator<=>(const Ticket&, const Ticket&) = default;
};

// A position in a log: the first record of a log has LSN 1; 0 stands for "none".
using Lsn = uint64_t;

}  // namespace paste
