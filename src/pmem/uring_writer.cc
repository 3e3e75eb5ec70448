#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>

#include <array>
#include <cerrno>
#include <optional>

#include "base/check.h"
#include "pmem/disk_writer.h"

namespace paste::pmem {
namespace {

constexpr unsigned kDepth = 128;  // writes in flight: more only lengthens the disk's own queue

class UringWriter final : public DiskWriter {
 public:
  UringWriter(int fd, const std::byte* base) : fd_(fd), base_(base) {
    for (unsigned i = 0; i < kDepth; ++i) free_[i] = static_cast<uint8_t>(i);
  }

  ~UringWriter() override {
    if (!open_) return;
    // The disk still reads our memory: what is in flight must land before that goes away.
    while (in_flight_ > 0) {
      io_uring_cqe* cqe = nullptr;
      const int result = io_uring_wait_cqe(&ring_, &cqe);
      if (result == -EINTR || result == -EAGAIN) continue;
      if (result < 0) break;
      io_uring_cqe_seen(&ring_, cqe);
      --in_flight_;
    }
    io_uring_queue_exit(&ring_);
  }

  Result<void> start() {
    int result = -EINVAL;
    // COOP_TASKRUN: completions wait for our next system call instead of interrupting the loop;
    // kernels before 5.19 do not know it.
    for (const unsigned flags : {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0u}) {
      result = io_uring_queue_init(kDepth, &ring_, IORING_SETUP_R_DISABLED | flags);
      if (result != -EINVAL) break;
    }
    if (result < 0) return fail(Code::unsupported, "the kernel refuses io_uring", -result);
    open_ = true;
    // This ring can write and sync and nothing else, whoever gets hold of it. The bare call,
    // because liburing 2.3 declares its wrappers without exporting them.
    std::array<io_uring_restriction, 2> allowed{};
    allowed[0].opcode = IORING_RESTRICTION_SQE_OP;
    allowed[0].sqe_op = IORING_OP_WRITE;
    allowed[1].opcode = IORING_RESTRICTION_SQE_OP;
    allowed[1].sqe_op = IORING_OP_FSYNC;
    const auto fd = static_cast<unsigned>(ring_.ring_fd);
    result = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, allowed.data(), allowed.size());
    if (result >= 0) result = io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    if (result < 0) {
      return fail(Code::unsupported, "the kernel refuses a restricted io_uring", -result);
    }
    return {};
  }

  Result<void> submit(std::span<const BlockRun> runs) override {
    if (failure_) return fail(*failure_);
    PASTE_CHECK(phase_ == Phase::idle);
    if (runs.empty()) return {};
    runs_ = runs;
    next_ = 0;
    dsync_ = runs.size() <= kDsyncRunsMax;
    phase_ = Phase::writing;
    queue_writes();
    return push();
  }

  Result<bool> poll() override {
    if (failure_) return fail(*failure_);
    if (phase_ == Phase::idle) return true;
    io_uring_cqe* cqe = nullptr;
    // Enters the kernel only where completions wait to be run (IORING_SQ_TASKRUN).
    while (phase_ != Phase::idle && io_uring_peek_cqe(&ring_, &cqe) == 0) {
      complete(cqe);
      if (failure_) return fail(*failure_);
    }
    PASTE_TRY(push());
    return phase_ == Phase::idle;
  }

  Result<void> wait() override {
    for (;;) {
      PASTE_TRY_ASSIGN(const bool done, poll());
      if (done) return {};
      io_uring_cqe* cqe = nullptr;
      const int result = io_uring_wait_cqe(&ring_, &cqe);  // not taken here: poll() does
      if (result < 0 && result != -EINTR && result != -EAGAIN) {
        return fail_finally("waiting for the disk failed", -result);
      }
    }
  }

  // The ring's own descriptor: readable exactly while completions wait to be taken. An eventfd is
  // signalled a moment after its completion becomes visible, so it could stay readable with
  // nothing left to take, and a loop that waits on it would spin.
  [[nodiscard]] int event_fd() const noexcept override { return ring_.ring_fd; }

  [[nodiscard]] const char* name() const noexcept override { return "io_uring"; }

 private:
  enum class Phase : uint8_t { idle, writing, syncing };
  struct Write {
    uint64_t offset;
    uint64_t end;
  };
  static constexpr uint64_t kSyncTag = kDepth;

  void queue(unsigned slot) {
    const Write& w = writes_[slot];
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    PASTE_CHECK(sqe != nullptr);  // as many entries as slots
    io_uring_prep_write(sqe, fd_, base_ + w.offset, static_cast<unsigned>(w.end - w.offset),
                        w.offset);
    sqe->rw_flags = dsync_ ? RWF_DSYNC : 0;
    io_uring_sqe_set_data64(sqe, slot);
    ++in_flight_;
  }

  void queue_writes() {
    while (next_ < runs_.size() && free_count_ > 0) {
      const BlockRun& run = runs_[next_++];
      const unsigned slot = free_[--free_count_];
      const uint64_t offset = uint64_t{run.first} << kBlockShift;
      writes_[slot] = {offset, offset + (uint64_t{run.count} << kBlockShift)};
      queue(slot);
    }
  }

  // Hands the queued entries to the kernel.
  Result<void> push() {
    for (int attempt = 0; io_uring_sq_ready(&ring_) > 0; ++attempt) {
      const int result = io_uring_submit(&ring_);
      if (result >= 0 || result == -EINTR) continue;
      // Short of memory for a moment: completions make room, and the next poll tries again.
      const bool passing = result == -EAGAIN || result == -EBUSY;
      if (passing && in_flight_ > io_uring_sq_ready(&ring_)) return {};
      if (!passing || attempt > 1000) return fail_finally("submitting a write failed", -result);
    }
    return {};
  }

  void complete(io_uring_cqe* cqe) {
    const uint64_t tag = io_uring_cqe_get_data64(cqe);
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    --in_flight_;
    if (tag == kSyncTag) {
      if (result < 0) {
        (void)fail_finally("making the pool file durable failed", -result);
      } else {
        phase_ = Phase::idle;
      }
      return;
    }
    const auto slot = static_cast<unsigned>(tag);
    Write& w = writes_[slot];
    if (result > 0) {
      // A short write goes on at the block where it stopped: O_DIRECT takes whole blocks only.
      const uint64_t reached = w.offset + static_cast<uint64_t>(result);
      w.offset = reached == w.end ? reached : reached & ~(kPage - 1);
    } else if (result != -EINTR && result != -EAGAIN) {
      (void)fail_finally("writing the pool file failed", result == 0 ? EIO : -result);
      return;
    }
    if (w.offset < w.end) {
      queue(slot);
      return;
    }
    free_[free_count_++] = static_cast<uint8_t>(slot);
    queue_writes();
    if (in_flight_ == 0) writes_done();
  }

  void writes_done() {
    if (dsync_) {
      phase_ = Phase::idle;
      return;
    }
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    PASTE_CHECK(sqe != nullptr);
    io_uring_prep_fsync(sqe, fd_, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(sqe, kSyncTag);
    ++in_flight_;
    phase_ = Phase::syncing;
  }

  Unexpected fail_finally(const char* what, int os_error) {
    // Entries that the kernel never took will not complete: the destructor must not wait for them.
    in_flight_ -= io_uring_sq_ready(&ring_);
    failure_.emplace(Code::failed, what, os_error);
    return fail(*failure_);
  }

  io_uring ring_{};
  bool open_ = false;
  int fd_;
  const std::byte* base_;
  std::span<const BlockRun> runs_;
  size_t next_ = 0;         // first run not queued yet
  unsigned in_flight_ = 0;  // entries queued or submitted, not completed
  bool dsync_ = false;
  Phase phase_ = Phase::idle;
  std::array<Write, kDepth> writes_{};
  std::array<uint8_t, kDepth> free_{};
  unsigned free_count_ = kDepth;
  std::optional<Error> failure_;
};

}  // namespace

Result<std::unique_ptr<DiskWriter>> make_uring_writer(int fd, const std::byte* base) {
  auto writer = std::make_unique<UringWriter>(fd, base);
  PASTE_TRY(writer->start());
  return std::unique_ptr<DiskWriter>(std::move(writer));
}

}  // namespace paste::pmem
