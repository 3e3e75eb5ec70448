// A write-ahead log in a pool: the record is the packet that brought it.
#pragma once

#include <cstdint>
#include <span>

#include "paste/record.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "paste/units.h"

namespace paste {

class Pool;
class Held;
namespace log {
class Log;
}

// A handle: copying it is cheap; valid while its pool is open.
// Durability: what append, erase and truncate return is durable when the ticket is
// (Pool::durable()); until then it is visible to this program only, and a crash may take it back.
// Thread-safety: none; use it in the thread of its pool.
class Log {
 public:
  // Keeps the very buffers that are held, without copying a byte; `held` is empty afterwards.
  // On an error nothing was changed and `held` still holds.
  // Errors: pool_full, too_large (64 MiB), closed (the log was removed), failed.
  Result<Appended> append(Held&& held, const AppendOptions& options = {});
  // Copies the bytes into the pool and keeps them. Errors: the same.
  Result<Appended> append(Bytes bytes, const AppendOptions& options = {});

  // Errors: not_found (outside first() … next()-1, or erased), corrupt, closed.
  Result<Record> read(Lsn lsn);
  // Errors: not_found, busy (commit and try again), closed, failed.
  Result<Ticket> erase(Lsn lsn);
  // Drops every record before `keep_from`. Errors: busy, closed, failed.
  Result<Ticket> truncate(Lsn keep_from);

  [[nodiscard]] Lsn first() const noexcept;    // first kept record; next() if there is none
  [[nodiscard]] Lsn next() const noexcept;     // what the next append will get
  [[nodiscard]] Lsn durable() const noexcept;  // last record that is durable; 0 if none
  // The last ticket that changed what a reader can see: gate replies that tell of it by this.
  [[nodiscard]] Ticket changed() const noexcept;

 private:
  friend class Pool;
  explicit Log(log::Log& log) noexcept : log_(&log) {}
  log::Log* log_;
};

}  // namespace paste
