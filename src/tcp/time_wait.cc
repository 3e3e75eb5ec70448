#include "tcp/time_wait.h"

#include "tcp/timestamps.h"

namespace paste::tcp {

bool may_reuse(const TimeWaitEntry& entry, Seq syn, std::optional<uint32_t> tsval) noexcept {
  // rcv_nxt counts the FIN, so the last number received is the one before it; a SYN at rcv_nxt is
  // above it.
  const bool newer_number = syn >= entry.rcv_nxt;
  if (!tsval) return newer_number;
  if (!entry.timestamps) return true;
  // RFC 6191 §2
  const int32_t newer = ts_distance(*tsval, entry.ts_recent);
  return newer > 0 || (newer == 0 && newer_number);
}

void TimeWait::insert(TimeWaitEntry entry, Instant now) noexcept {
  erase(entry.tuple);
  if (table_.full()) {
    table_.erase(table_.oldest(0), 0);
    ++dropped_;
  }
  entry.expires = now + two_msl_;
  table_.insert(entry, 0);
}

const TimeWaitEntry* TimeWait::find(const FourTuple& tuple) const noexcept {
  const uint32_t i = table_.find(tuple);
  return i == Table::kNone ? nullptr : &table_[i];
}

void TimeWait::restart(const FourTuple& tuple, Instant now) noexcept {
  const uint32_t i = table_.find(tuple);
  if (i == Table::kNone) return;
  table_[i].expires = now + two_msl_;
  table_.move(i, 0, 0);
}

bool TimeWait::erase(const FourTuple& tuple) noexcept {
  const uint32_t i = table_.find(tuple);
  if (i == Table::kNone) return false;
  table_.erase(i, 0);
  return true;
}

uint32_t TimeWait::expire(Instant now) noexcept {
  uint32_t n = 0;
  for (uint32_t i = table_.oldest(0); i != Table::kNone && table_[i].expires <= now; ++n) {
    table_.erase(i, 0);
    i = table_.oldest(0);
  }
  return n;
}

Instant TimeWait::next_deadline() const noexcept {
  const uint32_t i = table_.oldest(0);
  return i == Table::kNone ? kNever : table_[i].expires;
}

}  // namespace paste::tcp
