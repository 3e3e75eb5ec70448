#include "tcp/timer_wheel.h"

#include <algorithm>

#include "base/check.h"

namespace paste::tcp {

TimerWheel::TimerWheel(uint32_t count, Instant now)
    : nodes_(count + kLevels * kSlots),
      tick_(now.ns >> kTickBits),
      earliest_(tick_),
      count_(count) {
  for (uint32_t i = count; i < nodes_.size(); ++i) nodes_[i].next = nodes_[i].prev = i;
}

void TimerWheel::schedule(Id id, Instant deadline) noexcept {
  PASTE_CHECK(id < count_);
  cancel(id);
  if (deadline == kNever) return;
  nodes_[id].tick = std::max(tick_of(deadline), earliest_);
  link(id);
}

void TimerWheel::cancel(Id id) noexcept {
  PASTE_CHECK(id < count_);
  if (scheduled(id)) unlink(id);
}

void TimerWheel::link(Id id) noexcept {
  Node& node = nodes_[id];
  const uint64_t differs = node.tick ^ tick_;
  const uint32_t level =
      differs == 0 ? 0 : (63 - static_cast<uint32_t>(std::countl_zero(differs))) / kDigitBits;
  const auto slot = static_cast<uint32_t>(node.tick >> (level * kDigitBits)) % kSlots;
  const uint32_t head = slot_node(level, slot);
  const uint32_t last = nodes_[head].prev;
  node.next = head;
  node.prev = last;
  nodes_[last].next = id;
  nodes_[head].prev = id;
  occupied_[level] |= uint64_t{1} << slot;
  quiet_until_ = std::min(quiet_until_, node.tick);
}

void TimerWheel::unlink(Id id) noexcept {
  Node& node = nodes_[id];
  nodes_[node.prev].next = node.next;
  nodes_[node.next].prev = node.prev;
  if (node.next == node.prev && node.next >= count_) {
    const uint32_t slot = node.next - count_;
    occupied_[slot / kSlots] &= ~(uint64_t{1} << (slot % kSlots));
  }
  node.next = node.prev = kNone;
}

uint64_t TimerWheel::next_tick() const noexcept {
  for (uint32_t level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const auto slot = static_cast<uint64_t>(std::countr_zero(occupied_[level]));
    const uint32_t low = level * kDigitBits;
    const uint64_t above = (tick_ >> low) & ~uint64_t{kSlots - 1};
    return (above | slot) << low;
  }
  return UINT64_MAX;
}

void TimerWheel::cascade() noexcept {
  for (uint32_t level = kLevels - 1; level > 0; --level) {
    const auto slot = static_cast<uint32_t>(tick_ >> (level * kDigitBits)) % kSlots;
    if ((occupied_[level] >> slot & 1) == 0) continue;
    const uint32_t head = slot_node(level, slot);
    while (nodes_[head].next != head) {
      const Id id = nodes_[head].next;
      unlink(id);
      link(id);
    }
  }
}

Instant TimerWheel::next_deadline() const noexcept {
  const uint64_t tick = next_tick();
  return tick > (UINT64_MAX >> kTickBits) ? kNever : Instant{tick << kTickBits};
}

}  // namespace paste::tcp
