// A hierarchical timer wheel over a fixed number of timers, each known by its index.
//
// A tick is 2^20 ns (1.05 ms). Eight levels of 64 slots cover every Instant. A timer lies on the
// level of the highest base-64 digit in which its tick differs from the wheel's, so each occupied
// slot of a level lies ahead of the wheel's digit there, and the lowest occupied level is next.
//
// A timer never fires early. It fires in the first advance() at or after its deadline rounded up
// to a tick, so less than one tick late.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "tcp/instant.h"

namespace paste::tcp {

class TimerWheel {
 public:
  using Id = uint32_t;

  // Timers 0 … count-1, none scheduled; the only allocation: 16 bytes a timer and 8 KiB.
  TimerWheel(uint32_t count, Instant now);

  // Sets the timer's deadline, in place of an earlier one. kNever cancels. A deadline in the past
  // fires at the next advance(); one set by a callback of advance() never fires in that same call.
  // REQUIRES: id < count.
  void schedule(Id id, Instant deadline) noexcept;
  // Makes sure that the timer fires at `deadline` at the latest: one that is set earlier stays, and
  // its owner asks again when it fires. Deadlines that mostly move on cost next to nothing so.
  void schedule_by(Id id, Instant deadline) noexcept {
    if (!scheduled(id) || nodes_[id].tick > tick_of(deadline)) schedule(id, deadline);
  }
  // Harmless if the timer is not scheduled.
  void cancel(Id id) noexcept;
  [[nodiscard]] bool scheduled(Id id) const noexcept { return nodes_[id].next != kNone; }

  // Calls fire(Id) for each timer that is due, in the order of ticks; the timer is no longer
  // scheduled then, and the callback may schedule and cancel any. Returns how many fired.
  // Takes O(timers fired or moved to a lower level), however far `now` jumps.
  template <typename Fire>
  uint32_t advance(Instant now, Fire&& fire);

  // No timer can fire before it: when to call advance() next. It may be early (the timer then only
  // moves to a lower level), never later than the first timer's tick. kNever if none is scheduled.
  [[nodiscard]] Instant next_deadline() const noexcept;

 private:
  static constexpr uint32_t kTickBits = 20;
  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kSlots = 1 << kDigitBits;
  static constexpr uint32_t kLevels = 8;
  static constexpr uint32_t kNone = UINT32_MAX;
  static_assert(kTickBits + kDigitBits * kLevels >= 64);

  struct Node {
    uint32_t next = kNone;
    uint32_t prev = kNone;
    uint64_t tick = 0;
  };
  static_assert(sizeof(Node) == 16);

  [[nodiscard]] static uint64_t tick_of(Instant deadline) noexcept {
    return (deadline.ns >> kTickBits) + ((deadline.ns & ((1u << kTickBits) - 1)) != 0 ? 1 : 0);
  }
  // Lists are circular through one node for each slot, after the timers' nodes.
  [[nodiscard]] uint32_t slot_node(uint32_t level, uint32_t slot) const noexcept {
    return count_ + level * kSlots + slot;
  }
  // The first tick at which something is to be done; REQUIRES: something is scheduled.
  [[nodiscard]] uint64_t next_tick() const noexcept;
  void link(Id id) noexcept;
  void unlink(Id id) noexcept;
  // Puts the timers that start at the current tick on their lower levels.
  void cascade() noexcept;

  std::vector<Node> nodes_;
  std::array<uint64_t, kLevels> occupied_{};  // a bit for each slot that has timers
  uint64_t tick_;
  uint64_t earliest_;         // ticks below it are raised to it
  uint64_t quiet_until_ = 0;  // nothing is to be done before this tick
  uint32_t count_;
};

template <typename Fire>
uint32_t TimerWheel::advance(Instant now, Fire&& fire) {
  const uint64_t target = now.ns >> kTickBits;
  if (target < quiet_until_ || target < tick_) return 0;
  uint32_t fired = 0;
  earliest_ = target + 1;
  while (true) {
    const uint64_t next = next_tick();
    if (next > target) {
      quiet_until_ = next;
      break;
    }
    tick_ = next;
    cascade();
    const uint32_t head = slot_node(0, static_cast<uint32_t>(tick_ % kSlots));
    while (nodes_[head].next != head) {
      const Id id = nodes_[head].next;
      unlink(id);
      ++fired;
      fire(id);
    }
  }
  // Every slot left lies beyond the target, so no digit of a waiting timer is passed over.
  tick_ = target;
  earliest_ = target;
  return fired;
}

}  // namespace paste::tcp
