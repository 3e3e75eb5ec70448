// One log's volatile state, and what it does; log.h has the contracts. Private to src/log.
//
// Invariants
//  1. pages_[i] is full for every i but the last; its first LSN is base_ + i × per_page_.
//  2. released_ <= first_ <= next_: records before released_ have given back their holds; pages
//     wholly before both released_ and head_ have been given back.
//  3. base_ <= head_: the root names the page whose first LSN is head_.
#pragma once

#include <span>
#include <vector>

#include "log/byte_buffer.h"
#include "log/entry.h"
#include "log/log.h"
#include "log/pages.h"
#include "pool/core.h"

namespace paste::log {

class LogState;

// What all logs of a pool share.
struct Shared {
  explicit Shared(pool::Core& pool) : core(pool) {}
  pool::Core& core;
  Ticket changed;  // the last ticket that created or removed a log
  RecoveryStats stats;
  std::vector<LogState*> reclaim;  // logs with something to give back
  std::vector<Slice> lists;        // first piece lists of deleted records, to be given back
};

enum class Verdict : uint8_t {
  good,
  damaged,     // not what was written
  unreadable,  // the medium cannot say
};

// Where the bytes of a record come from: ranges of the pool, or the program's own memory.
class Source {
 public:
  explicit Source(Bytes bytes) : current_(bytes) {}
  Source(const pool::Core& core, std::span<const Slice> slices) : core_(&core), slices_(slices) {}
  // Copies the next `bytes` bytes. REQUIRES: so many are left.
  void copy(std::byte* to, size_t bytes) noexcept;

 private:
  const pool::Core* core_ = nullptr;
  std::span<const Slice> slices_;
  Bytes current_;
};

class LogState {
 public:
  LogState(Shared& shared, pool::Root& root);

  // A new log with its first page. VOLATILE; the header is FLUSHED.
  void begin(BufferName page);

  // append.cc
  Result<Appended> append(std::span<const Slice> slices, const AppendOptions& options);
  Result<Appended> append_bytes(Bytes bytes, const AppendOptions& options);
  Result<void> seal();

  // read.cc
  Result<Record> read(Lsn lsn);
  // Checks a kept record's checksum, whether or not it was checked before.
  Verdict check(Lsn lsn);

  // truncate.cc
  Result<Ticket> erase(Lsn lsn);
  Result<Ticket> truncate(Lsn keep_from);
  Result<Ticket> remove();
  [[nodiscard]] Lsn cut_for_count(uint64_t count) const noexcept;
  [[nodiscard]] Lsn cut_for_bytes(uint64_t bytes) noexcept;
  [[nodiscard]] Lsn cut_for_age(uint64_t oldest_ns) noexcept;

  // reclaim.cc: gives back truncated records and pages while `credit` (a record, or a piece, costs
  // one) is above 0. True while there is more.
  bool reclaim(int64_t& credit);

  [[nodiscard]] pool::Root& root() const noexcept { return root_; }
  [[nodiscard]] bool removed() const noexcept { return removed_; }
  [[nodiscard]] Lsn first() const noexcept { return first_; }
  [[nodiscard]] Lsn next() const noexcept { return next_; }
  [[nodiscard]] Lsn durable() const noexcept;
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] Ticket changed() const noexcept { return changed_; }
  // Kept and not deleted.
  [[nodiscard]] bool present(Lsn lsn) const noexcept {
    return lsn >= first_ && lsn < next_ && !page_of(lsn).deleted.test(index_of(lsn));
  }
  // True the first time a record is found damaged.
  bool mark_damaged(Lsn lsn) noexcept;

 private:
  friend class LogRecovery;

  [[nodiscard]] Result<void> writable() const;
  // Makes sure that the next record has a place: takes a page if the last one is full.
  Result<void> prepare_place();
  void drop_spare() noexcept;
  void link_spare();
  void write_header(BufferName page, Lsn first_lsn);
  [[nodiscard]] Entry make_entry(EntryType type, Slice at, uint32_t length,
                                 const AppendOptions& options) const;
  Result<Appended> append_empty(std::span<const Slice> slices, const AppendOptions& options);
  Result<Appended> append_range(Slice slice, const AppendOptions& options);
  Result<Appended> append_pieces(std::span<const Slice> slices, uint32_t length,
                                 const AppendOptions& options);
  Result<Appended> append_copy(Source source, uint32_t length, const AppendOptions& options);
  Result<Appended> append_copy_long(Source source, uint32_t length, const AppendOptions& options);
  // Checksum over the entry and `slices`, then flushes them.
  void checksum_and_flush(Entry& entry, std::span<const Slice> slices);
  // Writes the entry in the place that prepare_place() made sure of.
  Appended commit_entry(const Entry& entry);

  [[nodiscard]] uint64_t page_index(Lsn lsn) const noexcept { return (lsn - base_) / per_page_; }
  [[nodiscard]] Page& page_of(Lsn lsn) noexcept { return pages_[page_index(lsn)]; }
  [[nodiscard]] const Page& page_of(Lsn lsn) const noexcept { return pages_[page_index(lsn)]; }
  [[nodiscard]] uint32_t index_of(Lsn lsn) const noexcept {
    return static_cast<uint32_t>((lsn - base_) % per_page_);
  }
  [[nodiscard]] Entry* entry_at(Lsn lsn) const noexcept {
    return entries_of(core_.buffer(page_of(lsn).name)) + index_of(lsn);
  }
  // Places in the last page that hold records.
  [[nodiscard]] Lsn tail_first() const noexcept { return base_ + (pages_.size() - 1) * per_page_; }
  // False: unreadable.
  [[nodiscard]] bool load(Lsn lsn, Entry& entry) const noexcept;
  // The record's ranges into slices_. False: damaged.
  [[nodiscard]] bool collect(const Entry& entry);
  [[nodiscard]] Verdict verify(Lsn lsn, const Entry& entry);

  void drop_bytes(Lsn from, Lsn to) noexcept;
  void queue_reclaim();
  void reclaim_record(Lsn lsn, int64_t& credit);

  Shared& shared_;
  pool::Core& core_;
  pool::Root& root_;
  const uint32_t seed_;
  const uint32_t per_page_;

  PageRing pages_;
  Lsn base_ = 1;
  Lsn head_ = 1;
  Lsn first_ = 1;
  Lsn next_ = 1;
  Lsn released_ = 1;
  uint64_t bytes_ = 0;
  uint64_t deleted_ = 0;  // of the records first_ … next_-1
  Ticket changed_;
  // next_ when the last ticket that appended began, and when the one before it did: at most one
  // ticket syncs while one fills, so these tell what is durable.
  Ticket tail_ticket_, before_ticket_;
  Lsn tail_begin_ = 1, before_begin_ = 1;
  Lsn sealed_ = 0;
  Slice reclaim_list_;  // the next piece list of the record being given back
  bool reclaim_queued_ = false;
  bool removed_ = false;

  ByteBuffer packer_;
  BufferName spare_ = kNoBuffer;  // a zeroed page, not linked yet
  std::vector<Slice> slices_;     // scratch
  std::vector<Slice> lists_;      // scratch
};

// Gives back the holds of one piece list, and moves `at` on to the next. Unreadable: the rest stays
// held until the pool is opened again.
void release_piece_list(pool::Core& core, Slice& at, int64_t& credit);

// A record's entry that names ranges inside the pool; says nothing of its checksum.
[[nodiscard]] bool plausible(const pool::Core& core, const Entry& entry) noexcept;

[[nodiscard]] inline Slice slice_of(const Entry& entry) noexcept {
  return {
      entry.buffer, entry.offset,
      static_cast<uint16_t>(entry.type == static_cast<uint8_t>(EntryType::pieces) ? entry.auxiliary
                                                                                  : entry.length)};
}
[[nodiscard]] inline bool has_pieces(const Entry& entry) noexcept {
  return entry.type == static_cast<uint8_t>(EntryType::pieces);
}

}  // namespace paste::log
