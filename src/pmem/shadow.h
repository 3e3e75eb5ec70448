// A region for crash tests: anonymous memory that knows which of its bytes a crash could take back.
//
// It works on unmodified code by comparing: at every event (flush, barrier, mark) the memory is
// compared with its image at the last one, and what changed is a new version of its 64-byte lines.
//
// What a crash leaves (docs/architecture.md, "Persistence domains"):
//   memory, process  A line holds any version since the one that the last completed barrier
//                    guarantees, or, between two versions, any subset of the 8-byte words that
//                    changed. Lines are independent of each other.
//   page             Nothing reaches the medium but blocks of 4096 bytes that a barrier wrote. A
//                    512-byte sector of a block in flight is old or new; where it is new, each line
//                    holds any version since the submission.
// A crash of the process alone leaves the memory as it is (memory, process) or the medium (page);
// what later dies of a power loss is what the first life had guaranteed: after_process_crash().
//
// Not for production: every event costs a comparison of the whole region.
// Thread-safety: none.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "pmem/region.h"

namespace paste::pmem {

// A small seeded generator, so that the same seed gives the same images with every library.
class ShadowRandom {
 public:
  explicit ShadowRandom(uint64_t seed) noexcept : state_(seed) {}
  uint64_t next() noexcept;                                            // splitmix64
  uint64_t below(uint64_t n) noexcept { return n < 2 ? 0 : next() % n; }
  bool chance(uint32_t percent) noexcept { return next() % 100 < percent; }

 private:
  uint64_t state_;
};

class ShadowRegion final : public Region {
 public:
  static constexpr uint64_t kLine = 64;
  static constexpr uint64_t kSector = 512;
  static constexpr uint64_t kBlock = 4096;
  static constexpr size_t kSites = static_cast<size_t>(Site::count_);

  enum class Event : uint8_t { flush, barrier_begin, barrier_done, mark };
  // Called at each event, when the memory up to it has been noted: the moment of a crash.
  using Observer = std::function<void(const ShadowRegion&, Event, Site)>;

  struct SiteCount {
    uint64_t calls = 0;
    uint64_t lines = 0;   // covered by write-backs; 0 for barriers
    uint64_t wasted = 0;  // of these, written back although they held nothing new
  };

  // REQUIRES: size is a multiple of 4096.
  static std::unique_ptr<ShadowRegion> create(Domain domain, uint64_t size);  // zeroes, DURABLE
  // What a power loss left: all of it is DURABLE.
  static std::unique_ptr<ShadowRegion> from_image(Domain domain, Bytes image);
  // What the next process maps after this one died and left `image`: its bytes are visible, but
  // only what this life had guaranteed is DURABLE.
  // memory, process: REQUIRES: image differs from the memory at most in words of recent changes.
  [[nodiscard]] std::unique_ptr<ShadowRegion> after_process_crash(Bytes image) const;
  ~ShadowRegion() override;

  void flush(const void* p, size_t n, Site site) noexcept override;
  Result<void> begin_barrier(Site site) override;
  Result<bool> poll_barrier() override;
  Result<void> wait_barrier() override;
  [[nodiscard]] int event_fd() const noexcept override { return event_fd_; }

  // --- What the test controls -----------------------------------------------------------------
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // An event of the program's own, such as a reply that leaves.
  void mark();
  // From now on the site does nothing, and the code believes that it did.
  void disable(Site site) {
    if (site != Site::count_) disabled_.set(static_cast<size_t>(site));
  }
  // page: a barrier is in flight for so many polls (0: it completes at once).
  void set_barrier_polls(uint32_t polls) { barrier_polls_ = polls; }
  // page: the n-th barrier from now (1: the next) fails, and with it all later calls. Any part of
  // its blocks may have been written.
  void fail_barrier(uint32_t n) { barriers_to_failure_ = n; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] const SiteCount& count(Site site) const noexcept {
    return counts_[static_cast<size_t>(site)];
  }
  void clear_counts() noexcept { counts_.fill({}); }

  // --- What a crash at this moment leaves -------------------------------------------------------
  // The image that a power loss leaves if everything undecided falls out the old way.
  [[nodiscard]] Bytes oldest() const noexcept { return {durable_, size_}; }
  // The memory at the last event.
  [[nodiscard]] Bytes visible() const noexcept { return {last_, size_}; }
  // Hash of oldest(): the XOR of line_hash() of all its lines.
  [[nodiscard]] uint64_t oldest_hash() const noexcept { return hash_; }
  [[nodiscard]] static uint64_t line_hash(uint64_t line, const std::byte* bytes) noexcept;

  // A piece of the region whose content is undecided: a line, or in the page domain a sector.
  struct Unit {
    uint32_t line;          // its first
    uint32_t lines;         // 1 or 8
    uint64_t alternatives;  // at least 2; kMany if more than can be counted
    bool recent;            // changed, or changed its choices, since the event before the last
  };
  static constexpr uint64_t kMany = uint64_t{1} << 62;
  static constexpr uint64_t kNewest = ~uint64_t{0};
  // Ascending by line.
  void units(std::vector<Unit>& out) const;
  // Writes alternative 0 (the oldest) … alternatives-1, or kNewest, of the unit to `out`, which has
  // room for its lines.
  void write(const Unit& unit, uint64_t alternative, std::byte* out) const;
  // Writes a random alternative: each line torn with so many percent, else whole.
  void write_random(const Unit& unit, ShadowRandom& random, uint32_t torn, std::byte* out) const;
  // Lines that changed between the last two events.
  [[nodiscard]] const std::vector<uint32_t>& changed() const noexcept { return changed_; }
  // The line before the last event, for one of changed().
  void write_before(uint32_t line, std::byte* out) const;

 private:
  using Words = std::array<uint64_t, kLine / sizeof(uint64_t)>;
  struct Version {
    Words words;
    uint8_t changed;  // which words differ from the version before
  };
  struct OpenLine {
    uint32_t line = 0;
    uint32_t covered = 0;   // memory: index of the version at the last flush
    uint32_t newest = 0;    // page: last index that the medium may hold
    int32_t submitted = -1;  // page: index when the write in flight was submitted
    std::vector<Version> versions;  // [0] is the oldest that the medium may hold
  };
  struct Range {
    uint32_t first, last;
  };

  ShadowRegion(Domain domain, uint64_t size, const std::byte* image);
  void note_changes();
  void note_line(uint32_t line);
  OpenLine& open_line(uint32_t line);
  void push_version(OpenLine& open, const std::byte* bytes);
  void drop_before(OpenLine& open, uint32_t index);
  void close(uint32_t slot);
  void event(Event event, Site site);
  void cover(uint64_t first_line, uint64_t last_line, SiteCount& count);
  void guarantee_covered();
  void submit();
  void complete();
  void touch(uint32_t line);
  [[nodiscard]] bool page() const noexcept { return domain_ == Domain::page; }
  [[nodiscard]] Range old_range(const OpenLine& open) const noexcept;
  [[nodiscard]] const OpenLine* find(uint32_t line) const noexcept;
  static uint64_t alternatives(const OpenLine& open, Range range) noexcept;
  static Words pick(const OpenLine& open, Range range, uint64_t index) noexcept;
  static Words pick_random(const OpenLine& open, Range range, ShadowRandom& random, uint32_t torn);
  [[nodiscard]] uint64_t sector_alternatives(uint32_t line, bool in_flight) const;
  void write_sector(uint32_t line, bool in_flight, uint64_t index, std::byte* out) const;

  std::byte* last_ = nullptr;     // the memory at the last event
  std::byte* durable_ = nullptr;  // the oldest content of each line
  uint64_t hash_ = 0;
  std::vector<int32_t> slot_;  // line → index in open_, or -1
  std::vector<OpenLine> open_;
  std::vector<uint32_t> pending_;     // memory: lines flushed since the last barrier
  std::vector<uint8_t> dirty_;        // page: blocks flushed since the last submission
  std::vector<uint8_t> in_flight_;    // page: blocks being written
  std::vector<uint32_t> changed_;
  std::vector<uint32_t> touched_at_;  // line → number of the event that last touched it
  uint32_t events_ = 0;
  uint32_t barrier_polls_ = 0;
  uint32_t polls_left_ = 0;
  uint32_t barriers_to_failure_ = 0;
  bool failing_ = false;
  bool failed_ = false;
  int event_fd_ = -1;
  Site barrier_site_ = Site::barrier_ticket;
  std::bitset<kSites> disabled_;
  std::array<SiteCount, kSites> counts_{};
  Observer observer_;
};

}  // namespace paste::pmem
