// The memory and process domains: the backing itself is mapped, a flush writes cache lines back,
// a barrier is a fence.
#pragma once

#include <memory>
#include <optional>

#include "pmem/backing.h"
#include "pmem/flush.h"
#include "pmem/mapping.h"
#include "pmem/pool_file.h"
#include "pmem/region.h"

namespace paste::pmem {

class MappedRegion final : public Region {
 public:
  struct Setup {
    Mapping mapping;
    std::optional<PoolFile> file;  // none for anonymous memory; keeps the lock
    Domain domain = Domain::process;
    // The caches survive power loss too (eADR): lines that only the CPU stored need no write-back.
    bool cache_is_persistent = false;
    bool read_only = false;
    Duration media_delay{0};
    Ranges bad_ranges;
    std::string description;
  };
  explicit MappedRegion(Setup setup);

  // Maps an open file or device. Errors: as open_region().
  static Result<std::unique_ptr<Region>> open(PoolFile file, uint64_t size,
                                              const Inspected& inspected,
                                              const DomainChoice& choice, std::string description,
                                              const RegionOptions& options);

  void flush(const void* p, size_t n, Site site) noexcept override;
  Result<void> begin_barrier(Site site) override;
  Result<bool> poll_barrier() override { return true; }
  Result<void> wait_barrier() override { return {}; }
  Result<void> publish_file() override;

 private:
  // How much of flush() is needed; decided once.
  enum class WriteBack : uint8_t { all, device_written, none };

  std::optional<PoolFile> file_;
  Mapping mapping_;
  void (*write_back_lines_)(const void* p, size_t n) noexcept;
  WriteBack write_back_;
  Duration media_delay_;
};

}  // namespace paste::pmem
