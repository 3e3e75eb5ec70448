// The page domain: the pool is anonymous memory, a regular file is its image, and a barrier writes
// the blocks that were flushed since the last one.
#pragma once

#include <memory>

#include "pmem/dirty_set.h"
#include "pmem/disk_writer.h"
#include "pmem/mapping.h"
#include "pmem/pool_file.h"
#include "pmem/region.h"

namespace paste::pmem {

class PageRegion final : public Region {
 public:
  // Loads the file from the medium, or for a created one starts with zeroes that are there already.
  // `size` is a multiple of 4096, at most the file's. `stable_writes`: as Inspected, the file must
  // not be written from memory that changes. Errors: too_large, io, unsupported.
  static Result<std::unique_ptr<Region>> open(PoolFile file, uint64_t size, bool stable_writes,
                                              std::string description,
                                              const RegionOptions& options);

  void flush(const void* p, size_t n, Site site) noexcept override;
  Result<void> begin_barrier(Site site) override;
  Result<bool> poll_barrier() override;
  Result<void> wait_barrier() override;
  [[nodiscard]] int event_fd() const noexcept override {
    return writer_ ? writer_->event_fd() : -1;
  }
  Result<void> publish_file() override { return file_.publish(); }

 private:
  PageRegion(PoolFile file, Mapping memory, const RegionOptions& options);
  Result<void> load(const Progress& progress);
  Result<void> drop_cache();
  Result<void> load_step(uint64_t offset, uint64_t n);
  void load_blocks(uint64_t offset, uint64_t n);
  Result<void> choose_writer(DiskIo disk_io);

  PoolFile file_;  // destroyed last: first the writes end, then the memory goes, then the lock
  Mapping memory_;
  DirtySet dirty_;
  std::unique_ptr<DiskWriter> writer_;  // none when read-only
  Duration media_delay_;
  bool direct_ = false;  // the file is read and written around the page cache
};

}  // namespace paste::pmem
