// The pool: named buffers, who owns them, tickets, and the publish list.
//
// Invariants
//  1. A buffer has one owner state: free, or held n > 0 times. Its kind is data (any number of
//     records point into it) or structure (exactly one owner) while it is held.
//  2. What a durable structure reaches is held. A buffer becomes free only when nothing durable
//     reaches it any more (release_after_ticket) and nothing volatile holds it.
//  3. Published bytes never change, except the words that a publish list changes.
//  4. durable() < filling(); tickets between them are syncing: at most one.
//
// Ownership of buffers is volatile: at open it is rebuilt from the roots.
// Thread-safety: none; a core belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "paste/result.h"
#include "paste/slot.h"
#include "paste/units.h"
#include "pmem/region.h"
#include "pool/buffers.h"
#include "pool/publish.h"
#include "pool/state.h"
#include "pool/types.h"

namespace paste::pool {

class Core {
 public:
  // Formats the region: superblocks, first root page, empty publish areas; DURABLE on return.
  // Errors: invalid (region under 256 KiB, buffer size neither 2048 nor 4096), io (bad memory),
  // too_large (more than 2^32 buffers), failed.
  static Result<void> create(pmem::Region& region, const CreateOptions& options);

  // First half of open: superblock, committed publish lists redone, root pages read.
  // Afterwards every owner of roots walks what it reaches and claims it, then finish_recovery().
  // Errors: corrupt, unsupported (feature bits, a domain stronger than the region's), failed.
  static Result<std::unique_ptr<Core>> open(std::unique_ptr<pmem::Region> region,
                                            const OpenOptions& options = {});

  // --- Geometry -------------------------------------------------------------------------------
  [[nodiscard]] uint32_t buffer_size() const noexcept { return buffer_size_; }
  // Names are 1 … buffer_end()-1; those below first_buffer() are fixed structures.
  [[nodiscard]] uint32_t first_buffer() const noexcept { return first_buffer_; }
  [[nodiscard]] uint32_t buffer_end() const noexcept { return buffer_end_; }
  [[nodiscard]] std::byte* buffer(BufferName name) const noexcept {
    return base_ + static_cast<uint64_t>(name) * buffer_size_;
  }
  [[nodiscard]] Bytes bytes(Slice s) const noexcept {
    return {buffer(s.buffer) + s.offset, s.length};
  }
  // True when the slice lies inside one buffer that may hold data.
  [[nodiscard]] bool valid(Slice s) const noexcept {
    return s.buffer >= first_buffer_ && s.buffer < buffer_end_ &&
           uint32_t{s.offset} + s.length <= buffer_size_;
  }
  [[nodiscard]] const std::array<uint8_t, 16>& uuid() const noexcept { return uuid_; }
  // CRC state after the UUID.
  [[nodiscard]] uint32_t crc_seed() const noexcept { return crc_seed_; }
  [[nodiscard]] pmem::Region& region() const noexcept { return *region_; }

  // --- Ownership (VOLATILE) -------------------------------------------------------------------
  // Takes a free buffer, held once. Its content is whatever was there.
  // Errors: pool_full.
  Result<BufferName> take(Purpose purpose);
  // True if `n` more buffers may be kept by a write (holding received buffers takes nothing from
  // the free list, but the port needs as many to replace them).
  [[nodiscard]] bool has_room(uint32_t n) const noexcept;
  // REQUIRES: held. Makes one more hold.
  void hold(BufferName name) noexcept;
  // Gives one hold back now. REQUIRES: this hold was never reachable from anything durable or
  // flushed for the filling ticket.
  void release(BufferName name) noexcept;
  // Gives one hold back once the filling ticket is durable and its publish list retired, so that
  // nothing durable, and no list that open would redo, can reach the buffer. Use this for every
  // hold that a structure had.
  void release_after_ticket(BufferName name);
  void set_kind(BufferName name, Kind kind) noexcept;
  [[nodiscard]] uint32_t holds(BufferName name) const noexcept;

  // A buffer of zeroes that are already DURABLE, kind structure, held once: what log pages are
  // made of. From a stock that commit() replenishes; an empty stock costs a barrier here.
  // Errors: pool_full, failed.
  Result<BufferName> take_zeroed(Purpose purpose);

  // --- Making durable -------------------------------------------------------------------------
  // FLUSHED: covered by the filling ticket.
  void flush(const void* p, size_t n, Site site) noexcept {
    changed_ = true;
    region_->flush(p, n, site);
  }

  // The word will have this value when the filling ticket is durable, atomically with everything
  // else the ticket publishes; until then its bytes keep the old value. The last value given for
  // a word in a ticket wins. Errors: busy (list full: commit and try again; nothing was changed).
  // REQUIRES: `word` is 8-byte aligned in the region, and not in a publish area.
  Result<void> publish(uint64_t* word, uint64_t value);
  // How many further words this ticket can publish. Ask before the first of several.
  [[nodiscard]] uint32_t publish_room() const noexcept;

  [[nodiscard]] Ticket filling() const noexcept { return filling_; }
  [[nodiscard]] Ticket durable() const noexcept { return durable_; }
  // The filling ticket has something to make durable.
  [[nodiscard]] bool changed() const noexcept;

  // Closes the filling ticket, unless one is syncing, and makes it durable (memory, process: before
  // it returns; page: begins to). Errors: failed — final: durable() never moves again.
  Result<void> commit();
  // Drives a sync in flight without blocking; call when event_fd() is readable. Errors: failed.
  Result<void> poll_sync();
  // commit() and wait until durable() >= ticket. Errors: failed. REQUIRES: ticket <= filling().
  Result<void> wait_durable(Ticket ticket);
  [[nodiscard]] int event_fd() const noexcept { return region_->event_fd(); }
  [[nodiscard]] bool failed() const noexcept { return failure_.has_value(); }

  // --- Roots ----------------------------------------------------------------------------------
  [[nodiscard]] Root* find_root(std::string_view name) noexcept;  // live ones; nullptr if none
  [[nodiscard]] const std::vector<std::unique_ptr<Root>>& roots() const noexcept {
    return roots_.all;
  }
  // Errors: exists, invalid (name empty, longer than 64 bytes), busy, pool_full.
  Result<Root*> create_root(format::RootType type, std::string_view name, const RootWords& words);
  // Errors: busy. Words needed in the publish list: kRootUpdateWords at most.
  Result<void> update_root(Root& root, const RootWords& words);
  Result<void> delete_root(Root& root);
  static constexpr uint32_t kRootUpdateWords = format::kRootWords + 2;

  // --- Recovery -------------------------------------------------------------------------------
  // One hold for what a root reaches. Errors: corrupt (not a buffer, of two kinds, a structure
  // claimed twice) — nothing is held then.
  Result<void> claim(BufferName name, Kind kind);
  [[nodiscard]] std::vector<Finding>* findings() const noexcept { return findings_; }
  // Second half of open: everything unclaimed is free, everything flushed since open() is DURABLE,
  // no publish list is left to redo. Errors: failed.
  Result<void> finish_recovery();

  [[nodiscard]] CoreStats stats() const noexcept;
  [[nodiscard]] const std::string& describe() const noexcept { return region_->description(); }

 private:
  Core(std::unique_ptr<pmem::Region> region, const format::Superblock& super);

  Result<void> redo_lists();
  Result<void> keep_lists();
  Result<void> redo_list(const std::byte* area);
  Result<void> retire_lists();
  Result<void> report(Code code, std::string what, std::string detail);
  [[nodiscard]] bool publishable(uint64_t offset) const noexcept;
  Result<void> read_roots();
  Result<void> read_root_page(BufferName page, BufferName* next);
  Result<void> read_root_entry(BufferName page, uint32_t index, const format::RootEntry& entry);
  Result<void> add_root_page();
  Result<void> publish_root(Root& root, bool live, const RootWords& words);
  Result<void> close_ticket();
  Result<void> begin_barrier(Site site);
  Result<void> whole_barrier(Site site);  // REQUIRES: none in flight
  Result<void> drive();
  Result<void> finish_first();
  void finish_second();
  void barrier_completed();
  Result<void> settle();
  void reap();
  Unexpected stop(Error error);
  void replenish();
  void zero(BufferName name);
  [[nodiscard]] uint64_t available() const noexcept;
  [[nodiscard]] uint64_t floor_of(Purpose purpose) const noexcept;

  std::unique_ptr<pmem::Region> region_;
  std::byte* base_ = nullptr;
  uint32_t buffer_size_ = 0;
  uint32_t first_buffer_ = 0;
  uint32_t buffer_end_ = 0;
  uint32_t crc_seed_ = 0;
  std::array<uint8_t, 16> uuid_{};
  std::vector<Finding>* findings_ = nullptr;
  bool recovered_ = false;

  Buffers buffers_;
  Reserves reserves_;
  Stock stock_;
  Ticket filling_{1};
  Ticket durable_{0};
  bool changed_ = false;
  std::optional<Error> failure_;  // once set, final
  PublishList list_;              // of the filling ticket
  std::array<Area, 2> areas_;
  Syncing syncing_;
  Deferrals deferrals_;
  RootTable roots_;
  CoreStats stats_;
};

}  // namespace paste::pool
