#include "tcp/syn_queue.h"

#include <algorithm>

namespace paste::tcp {

bool SynQueue::insert(SynEntry entry, Instant now) noexcept {
  if (table_.full()) {
    ++overflowed_;
    return false;
  }
  entry.sent = 1;
  entry.first = now;
  entry.deadline = now + timeout(1);
  table_.insert(entry, 0);
  return true;
}

const SynEntry* SynQueue::find(const FourTuple& tuple) const noexcept {
  const uint32_t i = table_.find(tuple);
  return i == Table::kNone ? nullptr : &table_[i];
}

std::optional<SynEntry> SynQueue::take(const FourTuple& tuple) noexcept {
  const uint32_t i = table_.find(tuple);
  if (i == Table::kNone) return std::nullopt;
  const SynEntry entry = table_[i];
  table_.erase(i, entry.sent - 1u);
  return entry;
}

Instant SynQueue::next_deadline() const noexcept {
  Instant earliest = kNever;
  for (uint32_t list = 0; list < kLists; ++list) {
    const uint32_t i = table_.oldest(list);
    if (i != Table::kNone) earliest = std::min(earliest, table_[i].deadline);
  }
  return earliest;
}

}  // namespace paste::tcp
