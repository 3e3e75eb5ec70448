// Writes runs of blocks from the region's memory to its file, durably.
//
// How a batch is made durable: few runs (up to kDsyncRunsMax) are written with RWF_DSYNC each, so
// the disk is asked once per write and no second round trip is needed (drives with FUA write
// through directly). More runs are written plainly and followed by one fdatasync when all have
// completed: one device flush instead of many, which is what dominates then. The order is what
// makes it right: a flush covers only writes that had completed when it began.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "paste/result.h"
#include "pmem/dirty_set.h"

namespace paste::pmem {

// At most one batch is in flight. The program may store into the blocks meanwhile: what lands is
// the content at the submission or any later one, which is what Region::flush() promises.
// Any error is final: the state of the file behind a failed write or sync is unknown, and the
// kernel reports it only once, so trying again could only pretend (Code::failed from then on).
class DiskWriter {
 public:
  static constexpr size_t kDsyncRunsMax = 4;

  DiskWriter() = default;
  virtual ~DiskWriter() = default;  // waits for what is in flight: the kernel reads the memory
  DiskWriter(const DiskWriter&) = delete;
  DiskWriter& operator=(const DiskWriter&) = delete;

  // `runs` stay valid until the batch is done. REQUIRES: no batch in flight.
  virtual Result<void> submit(std::span<const BlockRun> runs) = 0;
  // True once nothing is in flight. Never blocks.
  virtual Result<bool> poll() = 0;
  virtual Result<void> wait() = 0;
  [[nodiscard]] virtual int event_fd() const noexcept { return -1; }
  [[nodiscard]] virtual const char* name() const noexcept = 0;
};

// `fd` and the memory at `base` must outlive the writer. With O_DIRECT, `base` is 4096-aligned.

// io_uring. Errors: unsupported, with the reason (kernel, container policy).
[[nodiscard]] Result<std::unique_ptr<DiskWriter>> make_uring_writer(int fd, const std::byte* base);
// pwrite and fdatasync; submit() returns when all is durable.
[[nodiscard]] std::unique_ptr<DiskWriter> make_posix_writer(int fd, const std::byte* base);

}  // namespace paste::pmem
