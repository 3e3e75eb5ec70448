// Who holds which buffer. Volatile; rebuilt at open. Thread-safety: none.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "paste/slot.h"
#include "pool/types.h"

namespace paste::pool {

// Invariant: a buffer is in the free stack exactly when its hold count is 0 and it is usable.
class Buffers {
 public:
  Buffers(BufferName first, BufferName end);

  [[nodiscard]] uint32_t holds(BufferName name) const noexcept { return state(name) >> kKindBits; }
  [[nodiscard]] Kind kind(BufferName name) const noexcept {
    return static_cast<Kind>(state(name) & kKindMask);
  }
  void set_kind(BufferName name, Kind kind) noexcept;
  // REQUIRES: held. Saturation is an invariant broken: 2^30 holds cannot be.
  void hold(BufferName name) noexcept;
  // The hold that makes a free-standing buffer owned (open, take).
  void first_hold(BufferName name, Kind kind) noexcept;
  // True when that was the last hold; the buffer is not put on the free stack by this.
  bool release(BufferName name) noexcept;

  // A bad one is never free: it is dropped here.
  void push_free(BufferName name) {
    if (bad_.empty() || !bad_[name - first_]) free_.push_back(name);
  }
  // REQUIRES: free_count() > 0.
  BufferName pop_free() noexcept;
  [[nodiscard]] uint32_t free_count() const noexcept { return static_cast<uint32_t>(free_.size()); }
  // What lies in [offset, offset+length) of the region is bad memory: never free.
  void mark_bad(uint64_t offset, uint64_t length, uint32_t buffer_size);
  // After recovery: everything without a hold that is not bad becomes free, lowest name on top.
  void build_free();

  [[nodiscard]] BufferName first() const noexcept { return first_; }
  [[nodiscard]] BufferName end() const noexcept { return end_; }
  [[nodiscard]] uint64_t count_of(Kind kind) const noexcept;

 private:
  static constexpr uint32_t kKindBits = 2;
  static constexpr uint32_t kKindMask = (1u << kKindBits) - 1;
  [[nodiscard]] uint32_t state(BufferName name) const noexcept {
    PASTE_CHECK(name >= first_ && name < end_);
    return state_[name - first_];
  }

  BufferName first_;
  BufferName end_;
  std::vector<uint32_t> state_;  // holds << 2 | kind
  std::vector<BufferName> free_;
  std::vector<bool> bad_;  // empty: none is
  uint64_t held_[4] = {};  // buffers held, by kind
};

}  // namespace paste::pool
