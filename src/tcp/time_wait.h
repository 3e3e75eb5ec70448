// Connections in TIME-WAIT: only what is needed to answer for them, in a bounded table.
#pragma once

#include <cstdint>
#include <optional>

#include "tcp/instant.h"
#include "tcp/seq.h"
#include "tcp/tuple_table.h"

namespace paste::tcp {

struct TimeWaitEntry {
  FourTuple tuple{};
  Seq snd_nxt{};
  Seq rcv_nxt{};
  uint32_t ts_recent = 0;
  uint32_t ts_offset = 0;
  bool timestamps = false;  // the connection used them
  uint16_t window = 0;      // the field that was advertised last (RFC 9293 SHLD-14)
  Instant expires{};        // set by the table
};
static_assert(sizeof(TimeWaitEntry) <= 64);

// Whether a SYN may start a new connection on an entry's tuple. RFC 6191 §2; RFC 9293 MAY-2:
//   the connection used timestamps and the SYN has one: the SYN's is newer, or equal and the SYN's
//                                                       number is above the last one received;
//   only the SYN has one:                               yes;
//   the SYN has none:                                   its number is above the last one received.
[[nodiscard]] bool may_reuse(const TimeWaitEntry& entry, Seq syn,
                             std::optional<uint32_t> tsval) noexcept;

// All waits are equally long, so the oldest entry is the first to expire. Allocates only at the
// start. Pointers are valid until the next call that is not const.
class TimeWait {
 public:
  // RFC 9293 MUST-13: 2 × MSL; RFC 9293 §3.4.2 takes 2 minutes for the MSL, hosts use 30 s.
  static constexpr Duration kTwoMsl = std::chrono::seconds(60);

  // REQUIRES: capacity > 0. `key` is secret.
  TimeWait(uint32_t capacity, SipKey key, Duration two_msl = kTwoMsl)
      : table_(capacity, key), two_msl_(two_msl) {}

  // Starts the wait of a connection, in place of an entry of the same tuple. If the table is full,
  // the oldest entry is dropped and counted.
  void insert(TimeWaitEntry entry, Instant now) noexcept;
  [[nodiscard]] const TimeWaitEntry* find(const FourTuple& tuple) const noexcept;
  // Starts the wait again: a retransmitted FIN was acknowledged (RFC 9293 §3.10.7.4).
  void restart(const FourTuple& tuple, Instant now) noexcept;
  // False if there was none.
  bool erase(const FourTuple& tuple) noexcept;
  // Drops what has waited; returns how many.
  uint32_t expire(Instant now) noexcept;
  [[nodiscard]] Instant next_deadline() const noexcept;

  [[nodiscard]] uint32_t size() const noexcept { return table_.size(); }
  [[nodiscard]] uint64_t dropped() const noexcept { return dropped_; }

 private:
  using Table = TupleTable<TimeWaitEntry, 1>;
  Table table_;
  Duration two_msl_;
  uint64_t dropped_ = 0;
};

}  // namespace paste::tcp
