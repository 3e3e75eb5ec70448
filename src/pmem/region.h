// A region: a mapped range of persistent memory, or of what stands in for it, with the one
// interface through which anything becomes durable. The rest of the tree issues no clwb, sfence,
// msync, fdatasync or disk write of its own.
//
// Words (libpmem2(7) calls the grades GRANULARITY):
//   VOLATILE  stored, nothing begun.
//   FLUSHED   flush() was called: write-back begun or noted; a barrier is still owed.
//   DURABLE   a barrier that began after the flush has completed: survives what domain() says.
//
// Thread-safety: none; a region belongs to the thread that runs its pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "paste/result.h"
#include "paste/units.h"
#include "pmem/site.h"

namespace paste::pmem {

// What stores survive (docs/architecture.md, "Persistence domains").
enum class Domain : uint8_t {
  process = 1,  // a crash of the program, not of the machine: tmpfs, hugetlbfs, unvouched memory
  page = 2,     // power loss, once written to the file: any regular file on any file system
  memory = 3,   // power loss, once written back from the cache: NVDIMM, CXL persistent memory
};
[[nodiscard]] std::string_view to_string(Domain domain) noexcept;

class Region {
 public:
  virtual ~Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // The mapping: size() bytes, aligned to at least 4096, valid until destruction.
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  [[nodiscard]] Domain domain() const noexcept { return domain_; }

  // Begins the write-back of [p, p+n). FLUSHED on return.
  // Every 64-byte line (memory, process) or block (page) that the range touches is covered,
  // whatever its alignment. Bytes may go on changing; what a barrier then makes durable is the
  // content at the flush or any later one. REQUIRES: the range lies in the region.
  virtual void flush(const void* p, size_t n, Site site) noexcept = 0;

  // Begins to make durable everything flushed so far. At most one barrier is in flight.
  // memory, process: completes before it returns. page: submits the writes and returns.
  // Errors: Code::failed — final, see below. REQUIRES: !barrier_in_flight().
  virtual Result<void> begin_barrier(Site site) = 0;

  // True once no barrier is in flight. Never blocks. Errors: Code::failed, with the cause: a write
  // or sync failed, so nothing may be acknowledged any more, now or later; every later call fails.
  virtual Result<bool> poll_barrier() = 0;

  // Blocks until no barrier is in flight. Errors: as poll_barrier().
  virtual Result<void> wait_barrier() = 0;

  // Readable when a barrier in flight may have completed; -1 where barriers complete at once.
  // poll_barrier() clears it; do not read() from it.
  [[nodiscard]] virtual int event_fd() const noexcept { return -1; }

  [[nodiscard]] bool barrier_in_flight() const noexcept { return barrier_in_flight_; }

  // After a pool was created in a file under a temporary name: gives it its own, durably.
  // Nothing to do for devices. Errors: Code::io, Code::exists.
  virtual Result<void> publish_file() { return {}; }

  // Ranges [offset, offset+length) that the medium could not read at open (page), known bad blocks
  // (memory). Their bytes read as zero in the page domain; elsewhere reading them may raise SIGBUS,
  // see guarded.h.
  [[nodiscard]] const std::vector<std::pair<uint64_t, uint64_t>>& bad_ranges() const noexcept {
    return bad_ranges_;
  }

  // For people: "tmpfs file /dev/shm/a.paste", and what the domain survives.
  [[nodiscard]] const std::string& description() const noexcept { return description_; }

 protected:
  Region() = default;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  Domain domain_ = Domain::process;
  bool barrier_in_flight_ = false;
  std::vector<std::pair<uint64_t, uint64_t>> bad_ranges_;
  std::string description_;
};

// The only way a word that others read concurrently or after a crash is changed: one aligned
// 8-byte store, never torn. VOLATILE on return.
inline void store64(uint64_t* word, uint64_t value) noexcept {
  std::atomic_ref<uint64_t>(*word).store(value, std::memory_order_release);
}

enum class DiskIo : uint8_t { automatic, uring, posix };

struct RegionOptions {
  std::string path;                  // a file, or a device DAX node /dev/daxX.Y
  std::optional<Domain> domain = {}; // nothing: the strongest that the backing vouches for
  bool create = false;               // make it; the file must not exist, a device may
  uint64_t size = 0;                 // bytes, for create; rounded up to 4096, hugetlbfs: its page
  // Works on a private copy: stores, so recovery too, are possible, nothing ever reaches the file;
  // flush and barriers do nothing and succeed. Refused while another process writes the pool.
  bool read_only = false;
  Duration media_delay{0};           // spun at each barrier, to emulate slow media
  DiskIo disk_io = DiskIo::automatic;  // page: io_uring, or plain writes and fdatasync
  // Called during long work (zeroing, loading) with bytes done and bytes in all. May be empty.
  std::function<void(std::string_view what, uint64_t done, uint64_t total)> progress = {};
};

// Maps a region and locks it against other processes until destruction.
// Errors: in_use (names the other process where it can be found), not_found, exists, permission,
// unsupported (asked for more than the backing gives: says what it gives), invalid, corrupt
// (smaller than a page), too_large (page: more than the memory there is), io.
[[nodiscard]] Result<std::unique_ptr<Region>> open_region(const RegionOptions& options);

// Anonymous memory with hardware flushes, domain process: for tests and benchmarks.
[[nodiscard]] Result<std::unique_ptr<Region>> anonymous_region(uint64_t size);

}  // namespace paste::pmem
