#include "pmem/page_region.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/time.h"
#include "pmem/system_error.h"

namespace paste::pmem {
namespace {

constexpr uint64_t kLoadStep = 8u << 20;

}  // namespace

PageRegion::PageRegion(PoolFile file, Mapping memory, const RegionOptions& options)
    : file_(std::move(file)),
      memory_(std::move(memory)),
      dirty_(options.read_only ? 0 : memory_.size() >> kBlockShift),
      media_delay_(options.media_delay) {
  data_ = memory_.data();
  size_ = memory_.size();
  domain_ = Domain::page;
}

Result<std::unique_ptr<Region>> PageRegion::open(PoolFile file, uint64_t size, bool stable_writes,
                                                 std::string description,
                                                 const RegionOptions& options) {
  PASTE_TRY_ASSIGN(Mapping memory, Mapping::anonymous(size));
  std::unique_ptr<PageRegion> region(new PageRegion(std::move(file), std::move(memory), options));
  region->direct_ = enable_direct(region->file_.fd());
  if (options.create) {
    PASTE_TRY(region->memory_.populate(options.progress, false));
  } else {
    PASTE_TRY(region->load(options.progress));
  }
  region->description_ = std::move(description);
  if (!options.read_only) {
    // The page cache's own copy is stable while it is written.
    if (stable_writes && region->direct_) region->direct_ = !set_direct(region->file_.fd(), false);
    PASTE_TRY(region->choose_writer(options.disk_io));
    region->description_ += fmt::format(", written by {}{}", region->writer_->name(),
                                        region->direct_ ? "" : " through the page cache");
  }
  return std::unique_ptr<Region>(std::move(region));
}

Result<void> PageRegion::choose_writer(DiskIo disk_io) {
  const int fd = file_.fd();
  if (disk_io != DiskIo::posix) {
    if (!direct_ && disk_io == DiskIo::uring) {
      return fail(
          Code::unsupported,
          fmt::format("{} cannot be written by io_uring: its file system or device does not "
                      "take O_DIRECT from memory that changes; choose posix or automatic",
                      file_.path()));
    }
    if (direct_) {
      auto writer = make_uring_writer(fd, data_);
      if (writer) {
        writer_ = std::move(*writer);
        return {};
      }
      if (disk_io == DiskIo::uring) return fail(std::move(writer).error());
    }
  }
  writer_ = make_posix_writer(fd, data_);
  return {};
}

Result<void> PageRegion::load(const Progress& progress) {
  if (!direct_) PASTE_TRY(drop_cache());
  for (uint64_t done = 0; done < size_;) {
    const uint64_t step = std::min(kLoadStep, size_ - done);
    PASTE_TRY(load_step(done, step));
    done += step;
    if (progress) progress("loading the pool", done, size_);
  }
  return {};
}

// Without O_DIRECT a read may come from the cache, where bytes can be that never reached the
// medium: write them and drop them, so that the read goes to the medium.
Result<void> PageRegion::drop_cache() {
  if (::fsync(file_.fd()) != 0 && errno != EROFS && errno != EINVAL) {
    return system_failure(fmt::format("cannot sync {}", file_.path()), errno);
  }
  ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_DONTNEED);
  return {};
}

Result<void> PageRegion::load_step(uint64_t offset, uint64_t n) {
  const uint64_t end = offset + n;
  while (offset < end) {
    const ssize_t got =
        ::pread(file_.fd(), data_ + offset, end - offset, static_cast<off_t>(offset));
    if (got > 0) {
      offset += static_cast<uint64_t>(got);
    } else if (got == 0) {
      return fail(Code::io, fmt::format("{} became shorter while it was read", file_.path()));
    } else if (errno == EIO || errno == EBADMSG || errno == ENODATA) {
      load_blocks(offset, end - offset);
      return {};
    } else if (errno != EINTR) {
      return system_failure(fmt::format("cannot read {}", file_.path()), errno);
    }
  }
  return {};
}

// Block by block what could not be read at once: the bad ones become zeroes and bad_ranges().
void PageRegion::load_blocks(uint64_t offset, uint64_t n) {
  for (const uint64_t end = offset + n; offset < end; offset += kPage) {
    ssize_t got = 0;
    do {
      got = ::pread(file_.fd(), data_ + offset, kPage, static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    if (got == static_cast<ssize_t>(kPage)) continue;
    std::memset(data_ + offset, 0, kPage);
    if (!bad_ranges_.empty() && bad_ranges_.back().first + bad_ranges_.back().second == offset) {
      bad_ranges_.back().second += kPage;
    } else {
      bad_ranges_.emplace_back(offset, kPage);
    }
  }
}

void PageRegion::flush(const void* p, size_t n, Site) noexcept {
  const auto offset = static_cast<uint64_t>(static_cast<const std::byte*>(p) - data_);
  PASTE_CHECK(offset <= size_ && n <= size_ - offset);
  if (writer_) dirty_.mark(offset, n);
}

Result<void> PageRegion::begin_barrier(Site) {
  PASTE_CHECK(!barrier_in_flight_);
  if (!writer_) return {};
  if (media_delay_.count() > 0) base::spin_for(media_delay_);
  if (dirty_.empty()) {
    PASTE_TRY(writer_->poll());  // an earlier failure stays one
    return {};
  }
  PASTE_TRY(writer_->submit(dirty_.take()));
  PASTE_TRY_ASSIGN(const bool done, writer_->poll());
  barrier_in_flight_ = !done;
  return {};
}

Result<bool> PageRegion::poll_barrier() {
  if (!writer_) return true;
  PASTE_TRY_ASSIGN(const bool done, writer_->poll());
  barrier_in_flight_ = !done;
  return done;
}

Result<void> PageRegion::wait_barrier() {
  if (!writer_) return {};
  PASTE_TRY(writer_->wait());
  barrier_in_flight_ = false;
  return {};
}

}  // namespace paste::pmem
