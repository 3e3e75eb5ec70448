#include "pool/buffers.h"

#include <algorithm>

namespace paste::pool {

Buffers::Buffers(BufferName first, BufferName end)
    : first_(first), end_(end), state_(end - first, static_cast<uint32_t>(Kind::data)) {}

void Buffers::set_kind(BufferName name, Kind kind) noexcept {
  const uint32_t old = state(name);
  if (old >> kKindBits != 0) {
    --held_[old & kKindMask];
    ++held_[static_cast<uint32_t>(kind)];
  }
  state_[name - first_] = (old & ~kKindMask) | static_cast<uint32_t>(kind);
}

void Buffers::hold(BufferName name) noexcept {
  const uint32_t old = state(name);
  PASTE_CHECK(old >> kKindBits != 0);
  PASTE_CHECK(old < ~uint32_t{0} - (1u << kKindBits));
  state_[name - first_] = old + (1u << kKindBits);
}

void Buffers::first_hold(BufferName name, Kind kind) noexcept {
  PASTE_CHECK(state(name) >> kKindBits == 0);
  state_[name - first_] = (1u << kKindBits) | static_cast<uint32_t>(kind);
  ++held_[static_cast<uint32_t>(kind)];
}

bool Buffers::release(BufferName name) noexcept {
  const uint32_t old = state(name);
  PASTE_CHECK(old >> kKindBits != 0);
  state_[name - first_] = old - (1u << kKindBits);
  if (old >> kKindBits != 1) return false;
  --held_[old & kKindMask];
  return true;
}

BufferName Buffers::pop_free() noexcept {
  PASTE_CHECK(!free_.empty());
  const BufferName name = free_.back();
  free_.pop_back();
  return name;
}

void Buffers::mark_bad(uint64_t offset, uint64_t length, uint32_t buffer_size) {
  if (length == 0) return;
  bad_.resize(end_ - first_);
  const uint64_t from = std::max<uint64_t>(offset / buffer_size, first_);
  const uint64_t to = std::min<uint64_t>((offset + length - 1) / buffer_size + 1, end_);
  for (uint64_t name = from; name < to; ++name) bad_[name - first_] = true;
}

void Buffers::build_free() {
  free_.clear();
  free_.reserve(end_ - first_);
  for (BufferName name = end_; name-- > first_;) {
    if (holds(name) == 0) push_free(name);
  }
}

uint64_t Buffers::count_of(Kind kind) const noexcept { return held_[static_cast<uint32_t>(kind)]; }

}  // namespace paste::pool
