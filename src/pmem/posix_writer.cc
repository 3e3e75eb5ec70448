#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "pmem/disk_writer.h"

namespace paste::pmem {
namespace {

class PosixWriter final : public DiskWriter {
 public:
  PosixWriter(int fd, const std::byte* base) : fd_(fd), base_(base) {}

  Result<void> submit(std::span<const BlockRun> runs) override {
    if (failure_) return fail(*failure_);
    for (const BlockRun& run : runs) PASTE_TRY(write_run(run));
    while (::fdatasync(fd_) != 0) {
      if (errno != EINTR) return fail_finally("making the pool file durable failed", errno);
    }
    return {};
  }

  Result<bool> poll() override {
    if (failure_) return fail(*failure_);
    return true;
  }

  Result<void> wait() override {
    if (failure_) return fail(*failure_);
    return {};
  }

  [[nodiscard]] const char* name() const noexcept override { return "pwrite and fdatasync"; }

 private:
  Result<void> write_run(const BlockRun& run) {
    uint64_t offset = uint64_t{run.first} << kBlockShift;
    const uint64_t end = offset + (uint64_t{run.count} << kBlockShift);
    while (offset < end) {
      const ssize_t wrote = ::pwrite(fd_, base_ + offset, end - offset, static_cast<off_t>(offset));
      if (wrote > 0) {
        offset += static_cast<uint64_t>(wrote);
      } else if (wrote == 0 || errno != EINTR) {
        return fail_finally("writing the pool file failed", wrote == 0 ? EIO : errno);
      }
    }
    return {};
  }

  Unexpected fail_finally(const char* what, int os_error) {
    failure_.emplace(Code::failed, what, os_error);
    return fail(*failure_);
  }

  int fd_;
  const std::byte* base_;
  std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<DiskWriter> make_posix_writer(int fd, const std::byte* base) {
  return std::make_unique<PosixWriter>(fd, base);
}

}  // namespace paste::pmem
