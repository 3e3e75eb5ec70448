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
#include "pool/format.h"
#include "pool/publish.h"

namespace paste::pool {

using pmem::Site;

enum class Kind : uint8_t { data = 1, structure = 2 };

// What a buffer is wanted for; decides how deep into the reserves the request may go.
enum class Purpose : uint8_t {
  receive,    // for a port to receive into: not the structure reserve
  data,       // bytes of a write: neither reserve
  structure,  // a page that a write needs: neither reserve
  room,       // a page that a delete, truncation or repacking needs to make room: everything
};

// What a check found; `pst pool check` prints these, open() stops at the first.
struct Finding {
  Code code = Code::corrupt;
  std::string what;  // "superblock copy 1", "record 17 of log orders", "root page 64"
  std::string detail;
};

struct CreateOptions {
  uint32_t buffer_size = format::kBufferSizeDefault;
};

struct OpenOptions {
  // Not null: check instead of open. Damage is appended here and the walk goes on where it can;
  // the region should be private (RegionOptions::read_only).
  std::vector<Finding>* findings = nullptr;
};

// A root entry, in DRAM. Stable address for the life of the core, also after deletion.
struct Root {
  uint64_t id = 0;
  format::RootType type = format::RootType::none;
  std::string name;
  std::array<uint64_t, format::kRootWords> words{};  // as at the end of the filling ticket
  bool live = false;                                 // as at the end of the filling ticket
  format::RootEntry* entry = nullptr;                // its place in the region
};

struct CoreStats {
  uint64_t tickets = 0;          // made durable since open
  uint64_t tickets_published = 0;  // of these, with a publish list
  uint64_t barriers = 0;
  uint64_t buffers_free = 0;
  uint64_t buffers_data = 0;
  uint64_t buffers_structure = 0;
  uint64_t buffers_deferred = 0;  // freed, not yet reusable
};

class Core {
 public:
  // Formats the region: superblocks, first root page, empty publish areas; DURABLE on return.
  // Errors: invalid (region smaller than 256 KiB, buffer size neither 2048 nor 4096), failed.
  static Result<void> create(pmem::Region& region, const CreateOptions& options);

  // First half of open: superblock, committed publish lists redone, root pages read.
  // Afterwards every owner of roots walks what it reaches and claims it, then finish_recovery().
  // Errors: corrupt, unsupported (feature bits, a domain stronger than the region's), failed.
  static Result<std::unique_ptr<Core>> open(std::unique_ptr<pmem::Region> region,
                                            const OpenOptions& options = {});
  ~Core();

  // --- Geometry -------------------------------------------------------------------------------
  [[nodiscard]] uint32_t buffer_size() const noexcept { return buffer_size_; }
  // Names are 1 … buffer_end()-1; those below first_buffer() are fixed structures.
  [[nodiscard]] uint32_t first_buffer() const noexcept { return first_buffer_; }
  [[nodiscard]] uint32_t buffer_end() const noexcept { return buffer_end_; }
  [[nodiscard]] std::byte* buffer(BufferName name) const noexcept {
    return base_ + static_cast<uint64_t>(name) * buffer_size_;
  }
  [[nodiscard]] Bytes bytes(Slice s) const noexcept { return {buffer(s.buffer) + s.offset, s.length}; }
  // True when the slice lies inside one buffer that may hold data.
  [[nodiscard]] bool valid(Slice s) const noexcept {
    return s.buffer >= first_buffer_ && s.buffer < buffer_end_ &&
           uint32_t{s.offset} + s.length <= buffer_size_;
  }
  [[nodiscard]] const std::array<uint8_t, 16>& uuid() const noexcept { return uuid_; }
  [[nodiscard]] uint32_t crc_seed() const noexcept { return crc_seed_; }  // CRC state after the UUID
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
  [[nodiscard]] bool failed() const noexcept { return failed_; }

  // --- Roots ----------------------------------------------------------------------------------
  [[nodiscard]] Root* find_root(std::string_view name) noexcept;  // live ones; nullptr if none
  [[nodiscard]] const std::vector<std::unique_ptr<Root>>& roots() const noexcept { return roots_; }
  // Errors: exists, invalid (name empty, longer than 64 bytes), busy, pool_full.
  Result<Root*> create_root(format::RootType type, std::string_view name,
                            const std::array<uint64_t, format::kRootWords>& words);
  // Errors: busy. Words needed in the publish list: kRootUpdateWords at most.
  Result<void> update_root(Root& root, const std::array<uint64_t, format::kRootWords>& words);
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
  // Where the list in a publish area stands; see tickets.cc.
  enum class Stage : uint8_t { free, committing, stored, settling, cleared, retiring };
  struct Area {
    std::byte* at = nullptr;
    Stage stage = Stage::free;
    Ticket ticket;
  };
  enum class Sync : uint8_t { idle, first, second };
  // What a ticket frees, kept until nothing durable can reach it.
  struct Deferred {
    Ticket ticket;
    std::vector<BufferName> buffers;
    std::vector<format::RootEntry*> places;
    std::vector<BufferName> zeroed;  // durable zeroes once the ticket is
  };

  Core(std::unique_ptr<pmem::Region> region, const format::Superblock& super);

  // open.cc
  Result<void> redo_lists();
  Result<void> keep_lists();
  Result<void> redo_list(const std::byte* area);
  Result<void> retire_lists();
  void repair_superblocks(const format::Superblock& super, uint32_t good_copies);
  Result<void> report(Code code, std::string what, std::string detail);
  [[nodiscard]] bool publishable(uint64_t offset) const noexcept;
  // roots.cc
  Result<void> read_roots();
  Result<void> read_root_page(BufferName page, bool first, BufferName* next);
  Result<void> add_root_page();
  Result<void> publish_root(Root& root, bool live,
                            const std::array<uint64_t, format::kRootWords>& words);
  void flush_root_pages(Site site);
  // tickets.cc
  Result<void> close_ticket();
  Result<void> begin_barrier(Site site);
  Result<void> drive();
  Result<void> finish_first();
  void finish_second();
  void barrier_completed();
  Result<void> settle();
  void queue_deferred();
  void reap();
  void replenish();
  Unexpected stop(Error error);
  // buffers
  void give_back(BufferName name);
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
  Ticket filling_{1};
  Ticket durable_{0};
  bool changed_ = false;
  bool failed_ = false;
  bool recovered_ = false;
  std::optional<Error> failure_;
  std::vector<Finding>* findings_ = nullptr;

  Buffers buffers_;
  uint64_t structure_reserve_ = 0;
  uint64_t receive_reserve_ = 0;
  std::vector<BufferName> zeroed_;  // the stock: held once, durable zeroes
  uint32_t zeroed_pending_ = 0;     // being made durable
  uint32_t zeroed_target_ = 16;

  PublishList list_;
  std::array<Area, 2> areas_;
  Sync sync_ = Sync::idle;
  Ticket syncing_;
  Area* syncing_area_ = nullptr;                    // of the ticket being synced; null: no list
  std::vector<format::PublishItem> syncing_items_;
  Deferred deferred_;                // of the filling ticket
  std::vector<Deferred> waiting_;    // oldest first; a few
  std::vector<Deferred> spare_;      // emptied ones: their capacity is used again

  std::vector<std::unique_ptr<Root>> roots_;
  std::vector<format::RootEntry*> free_places_;
  std::vector<BufferName> root_pages_;
  uint64_t next_root_id_ = 1;  // as at the end of the filling ticket
  CoreStats stats_;
};

}  // namespace paste::pool
