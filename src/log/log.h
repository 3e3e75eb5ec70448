// The write-ahead log: an append-only sequence of records, each the very bytes that arrived.
//
// An append is VOLATILE-to-FLUSHED here; it is DURABLE when the ticket that append() returns is.
// Records become visible to read() at once; who shows one to anybody outside gates the reply by
// changed().
//
// Invariants
//  1. LSNs are dense: the record after n is n+1. first() <= n < next() are kept, except deleted
//     ones.
//  2. Every page but the last is full and linked; a page is DURABLE zeroes before it is linked.
//  3. A record's bytes never change while an entry names them.
//
// Thread-safety: none; logs belong to the thread of their pool.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "log/format.h"
#include "paste/record.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "pool/core.h"

namespace paste::log {

inline constexpr uint32_t kRecordBytesMax = 64u << 20;
inline constexpr uint32_t kNameMax = pool::format::kRootNameMax;

using paste::Appended;
using paste::AppendOptions;
using paste::Record;

class Log {
 public:
  ~Log();
  [[nodiscard]] std::string_view name() const noexcept;
  [[nodiscard]] uint64_t id() const noexcept;
  // Set once the log was removed: every call then returns Code::closed.
  [[nodiscard]] bool removed() const noexcept;

  [[nodiscard]] Lsn first() const noexcept;       // first kept record; next() if there is none
  [[nodiscard]] Lsn next() const noexcept;        // what the next append will get
  [[nodiscard]] Lsn durable() const noexcept;     // last record that is durable; 0 if none
  [[nodiscard]] uint64_t bytes() const noexcept;  // of kept records
  // The last ticket that changed anything that a reader can see here (for gating replies).
  [[nodiscard]] Ticket changed() const noexcept;

  // Appends the bytes in `slices`, in place. On success the log has taken over one hold of each
  // slice's buffer (a buffer in two slices: two holds); on failure the caller keeps them.
  // Short records that straddle buffers are copied together where that saves room.
  // Errors: pool_full, too_large, closed, failed — nothing was changed.
  // REQUIRES: every slice valid, none empty unless the record is; the bytes change no more.
  Result<Appended> append(std::span<const Slice> slices, const AppendOptions& options = {});
  // Copies the bytes into the pool and appends them. Errors: the same.
  Result<Appended> append_bytes(Bytes bytes, const AppendOptions& options = {});

  // Errors: not_found (outside first() … next()-1, or deleted), corrupt (bytes are not what was
  // written, or unreadable), closed. CRC32C is checked at the first read since open.
  Result<Record> read(Lsn lsn);

  // Deletes one record. Errors: not_found, busy, closed, failed.
  Result<Ticket> erase(Lsn lsn);
  // Drops every record before `keep_from` (clamped to next()). Room comes back in the background,
  // a bounded number of pages per reclaim(). Errors: busy, closed, failed.
  Result<Ticket> truncate(Lsn keep_from);
  // Where truncate() has to cut to keep at most so much: the newest `count` records, `bytes` bytes,
  // records not older than `oldest_ns`.
  [[nodiscard]] Lsn cut_for_count(uint64_t count) const noexcept;
  [[nodiscard]] Lsn cut_for_bytes(uint64_t bytes) noexcept;
  [[nodiscard]] Lsn cut_for_age(uint64_t oldest_ns) noexcept;

  // Writes a seal, if everything is durable and none is there yet: FLUSHED. Call when idle.
  Result<void> seal();

 private:
  friend class Logs;
  struct State;
  explicit Log(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct RecoveryStats {
  uint64_t logs = 0;
  uint64_t records = 0;
  uint64_t torn = 0;     // entries behind the last valid one that were dropped (unacknowledged)
  uint64_t corrupt = 0;  // records that are damaged; they stay, and reading them fails
};

// All logs of a pool.
class Logs {
 public:
  // Between Core::open() and Core::finish_recovery(): walks every log root, claims what it
  // reaches, cuts torn tails (zeroes behind them are FLUSHED), flushes what it accepted.
  // Errors: corrupt — the pool cannot be served (a page chain is broken before its vouched end);
  // a damaged record alone is counted, not an error.
  static Result<std::unique_ptr<Logs>> recover(pool::Core& core);
  ~Logs();

  [[nodiscard]] Log* find(std::string_view name) noexcept;
  // Errors: exists, invalid (name: 1 … 64 of A–Z a–z 0–9 . _ -, not starting with '.'), pool_full,
  // busy, failed.
  Result<Log*> create(std::string_view name);
  // Removes the log and all its records; the pointer stays valid, removed() is set.
  // Errors: not_found, busy, failed.
  Result<Ticket> remove(std::string_view name);
  // In the order of creation.
  [[nodiscard]] std::vector<Log*> list();
  // The last ticket that created or removed a log (for gating "no such log").
  [[nodiscard]] Ticket changed() const noexcept;

  // Gives back the room of truncated and removed records: at most `pages` log pages' worth of work.
  // Returns true while there is more. Call once a batch.
  bool reclaim(uint32_t pages);

  // Background scrub: verifies at most `records` records from where the last call stopped; damaged
  // ones are counted in stats().corrupt and reported to `found`.
  void scrub(uint32_t records, const std::function<void(Log&, Lsn)>& found);
  // Whole passes completed.
  [[nodiscard]] uint64_t scrub_passes() const noexcept;

  [[nodiscard]] const RecoveryStats& recovery() const noexcept;
  [[nodiscard]] static bool valid_name(std::string_view name) noexcept;

 private:
  friend class Log;
  struct State;
  explicit Logs(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace paste::log
