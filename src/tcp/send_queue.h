// What the application gave to send: slices of stored buffers, held until they are acknowledged.
#pragma once

#include <cstdint>
#include <span>

#include "paste/result.h"
#include "paste/slot.h"
#include "tcp/growing_ring.h"
#include "tcp/seq.h"

namespace paste::tcp {

// Bytes [begin, end) of the sequence space, each in one slice. Nothing is copied: range() cuts the
// slices that a segment needs, the first time and every time after. SYN and FIN are not its
// business. Not thread-safe.
// Invariants: the slices are in sequence order without gaps; the first one covers begin() unless
// the queue is empty; bytes() < 2^30, so sequence comparisons are meaningful.
class SendQueue {
 public:
  static constexpr uint32_t kBytesMax = 1U << 30;

  // The first byte will have the sequence number `first`; at most `slices_max` slices are held.
  SendQueue(Seq first, uint32_t slices_max) noexcept
      : ring_(slices_max), begin_(first), end_(first) {}
  struct Entry {
    uint64_t cookie = 0;
    Slice slice;
    Seq begin;
    [[nodiscard]] Seq end() const noexcept { return begin + slice.length; }
  };
  // The same, with the allocation of an earlier one.
  SendQueue(Seq first, uint32_t slices_max, GrowingRing<Entry>&& ring) noexcept
      : ring_(slices_max, std::move(ring)), begin_(first), end_(first) {}
  [[nodiscard]] GrowingRing<Entry> take_storage() noexcept { return std::move(ring_); }

  // Appends the bytes of `slice`; `cookie` comes back with it when all of it is acknowledged.
  // Errors, with the queue unchanged: busy (no room for one more slice), too_large (the bytes would
  // pass 2^30), invalid (an empty slice).
  [[nodiscard]] Result<> append(Slice slice, uint64_t cookie);

  struct Gathered {
    uint32_t slices = 0;  // written to the output
    uint32_t bytes = 0;   // that they cover, from `begin` on
  };
  // The slices that cover [begin, begin + length), the first and the last cut to fit. Covers less
  // if `out` or the queue ends first. Covers nothing if `begin` is outside [begin(), end()).
  // O(log n) and the number of slices written.
  [[nodiscard]] Gathered range(Seq begin, uint32_t length, std::span<Slice> out) const noexcept;

  // All before `una` is acknowledged: calls release(Slice, uint64_t cookie) for each slice, whole
  // as it was appended, that has become unnecessary, in order. Returns the bytes acknowledged.
  // `una` before begin() has no effect; beyond end() (a FIN acknowledged) it stops there.
  // `release` must not call this queue.
  template <typename Release>
  uint32_t acknowledge(Seq una, Release&& release) {
    una = min(una, end_);
    if (una <= begin_) return 0;
    const uint32_t bytes = una.value - begin_.value;
    begin_ = una;
    while (!ring_.empty() && ring_.front().end() <= una) {
      release(ring_.front().slice, ring_.front().cookie);
      ring_.pop_front();
    }
    return bytes;
  }
  // Gives back every slice, in order: the connection ends.
  template <typename Release>
  void abandon(Release&& release) {
    acknowledge(end_, release);
  }

  [[nodiscard]] Seq begin() const noexcept { return begin_; }
  [[nodiscard]] Seq end() const noexcept { return end_; }
  [[nodiscard]] uint32_t bytes() const noexcept { return end_.value - begin_.value; }
  [[nodiscard]] uint32_t slices() const noexcept { return ring_.size(); }
  [[nodiscard]] uint32_t capacity() const noexcept { return ring_.capacity(); }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }

 private:
  // The entry that covers `s`. REQUIRES: begin_ ≤ s < end_.
  [[nodiscard]] uint32_t find(Seq s) const noexcept;

  GrowingRing<Entry> ring_;
  Seq begin_;  // the first byte not acknowledged
  Seq end_;    // behind the last byte appended
};

}  // namespace paste::tcp
