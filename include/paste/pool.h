// A pool: a region of persistent memory, or of what stands in for it, formatted into named
// buffers. Start reading here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "paste/log.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "paste/units.h"

namespace paste {

// What a durable ticket survives.
enum class Domain : uint8_t {
  automatic,  // the strongest that the machine vouches for
  process,    // a crash of the program: tmpfs, hugetlbfs
  page,       // power loss: any regular file; made durable by writes to the disk
  memory,     // power loss: NVDIMM and CXL memory, made durable by cache-line write-back
};

struct PoolOptions {
  bool create = false;  // make it if it is not there
  uint64_t size = uint64_t{1} << 30;  // bytes, for create: 16 MiB … ; rounded up to whole pages
  uint32_t buffer_size = 2048;        // bytes, for create: 2048 or 4096
  Domain domain = Domain::automatic;  // asking for more than there is fails, with words
  Duration media_delay{0};            // spun at each barrier, to emulate slow media
  // Called during long work with what it is, bytes done, and bytes in all.
  std::function<void(std::string_view what, uint64_t done, uint64_t total)> progress = {};
};

// Thread-safety: none; a pool, its logs and its ports belong to one thread.
class Pool {
 public:
  // Opens and recovers: afterwards everything acknowledged before a crash is there, durable, and
  // nothing else is. One process at a time.
  // Errors: not_found, in_use, permission, unsupported, corrupt (`pst pool check` lists what),
  // invalid, io.
  static Result<Pool> open(const std::string& path, const PoolOptions& options = {});
  Pool(Pool&&) noexcept;
  Pool& operator=(Pool&&) noexcept;
  ~Pool();

  // The log of that name, created if there is none.
  // Errors: invalid (1 … 64 of A–Z a–z 0–9 . _ -), pool_full, busy, failed.
  Result<Log> log(std::string_view name);

  // Closes the batch: one barrier for everything since the last one. In the page domain the
  // writes go on in the background; Port::poll() notices when they end.
  // Errors: failed — final: nothing becomes durable any more; end the program.
  Result<void> commit();
  [[nodiscard]] Ticket filling() const noexcept;
  [[nodiscard]] Ticket durable() const noexcept;
  // commit(), then waits until `ticket` is durable. Errors: failed. REQUIRES: ticket <= filling().
  Result<void> wait_durable(Ticket ticket);

  [[nodiscard]] uint32_t buffer_size() const noexcept;
  // The bytes of a slice, in place; valid while something holds its buffer.
  [[nodiscard]] Bytes bytes(Slice slice) const noexcept;
  [[nodiscard]] Domain domain() const noexcept;

 private:
  friend class Port;
  struct State;
  explicit Pool(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace paste
