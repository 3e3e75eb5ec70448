// What a connection is still to send, in order, each piece with the ticket that it waits for.
//
// Invariants
//  1. Tickets never decrease from head to tail: a piece behind another waits for that one too.
//  2. Bytes given by gather() stay where they are, and their buffers held, until pop() or clear().
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "paste/slot.h"
#include "paste/units.h"
#include "pool/core.h"
#include "port/fifo.h"

namespace paste::port {

// A piece of memory that copied bytes wait in. It never moves, so the kernel may read it while
// more is queued behind.
struct Chunk {
  static constexpr uint32_t kBytes = 2048;  // with this header; chunks are aligned to it
  static constexpr uint32_t kRoom = kBytes - 16;
  Chunk* next;      // in the stock
  uint32_t used;    // bytes written
  uint32_t unsent;  // of these
  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] static Chunk* of(const std::byte* p) noexcept;
};
static_assert(sizeof(Chunk) == 16);

struct Segment {
  Ticket after;
  const std::byte* data;
  uint32_t length;
  BufferName buffer;  // kNoBuffer: the bytes lie in a chunk
};

// What all outputs of a driver share. Memory grows to the peak and is then used again.
class OutputStock {
 public:
  explicit OutputStock(pool::Core& core) noexcept : core_(core) {}
  OutputStock(const OutputStock&) = delete;
  OutputStock& operator=(const OutputStock&) = delete;
  [[nodiscard]] Chunk* take();
  void give_back(Chunk* chunk) noexcept;
  [[nodiscard]] pool::Core& core() const noexcept { return core_; }
  Fifo<Segment>::Stock segments;

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  pool::Core& core_;
  Chunk* free_ = nullptr;
  std::vector<std::unique_ptr<std::byte[], Free>> blocks_;
};

class Output {
 public:
  [[nodiscard]] bool empty() const noexcept { return segments_.empty(); }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  // What the first byte waits for, and the last. REQUIRES: !empty().
  [[nodiscard]] Ticket head_ticket() const noexcept { return segments_.front().after; }
  [[nodiscard]] Ticket tail_ticket() const noexcept { return segments_.back().after; }

  void append(Bytes bytes, Ticket after, OutputStock& stock);
  // Takes a hold. REQUIRES: the slice is valid and not empty.
  void append(Slice slice, Ticket after, OutputStock& stock);
  // The front of what may leave when `durable` is, at most `bytes_max`. Returns how many of
  // `pieces` it filled, and their bytes in `total`.
  uint32_t gather(Ticket durable, uint64_t bytes_max, std::span<iovec> pieces,
                  uint64_t& total) const noexcept;
  // The first piece, with its hold, if it may leave when `durable` is.
  // REQUIRES: it was appended as a slice.
  [[nodiscard]] std::optional<Slice> front(Ticket durable, const OutputStock& stock) const noexcept;
  void pop_keeping_hold(OutputStock& stock) noexcept;
  // Drops the first `n` bytes with their holds. REQUIRES: n <= bytes().
  void pop(uint64_t n, OutputStock& stock) noexcept;
  void clear(OutputStock& stock) noexcept { pop(bytes_, stock); }

 private:
  void push(const std::byte* data, uint32_t length, BufferName buffer, Ticket after,
            OutputStock& stock);

  Fifo<Segment> segments_;
  Chunk* filling_ = nullptr;  // has room for more
  uint64_t bytes_ = 0;
};

}  // namespace paste::port
