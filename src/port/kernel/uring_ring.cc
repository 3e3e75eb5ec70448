#include "port/kernel/uring_ring.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "port/kernel/uring_compat.h"

namespace paste::port {
namespace {

constexpr unsigned kEntries = 1024;
constexpr unsigned kCompletions = 8192;
constexpr unsigned kFeatures = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                               IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;

std::string words_of(int os_error) {
  switch (os_error) {
    case ENOSYS:
      return "the kernel is built without io_uring, or a sandbox hides it";
    case EPERM:
    case EACCES:
      return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a sandbox)";
    case ENOMEM:
      return "io_uring may lock too little memory (raise RLIMIT_MEMLOCK)";
    case EINVAL:
      return "this kernel's io_uring is too old (6.0 or newer is needed)";
    default:
      return std::string("io_uring cannot be set up: ") + ::strerror(os_error);
  }
}

Unexpected unavailable(int os_error) { return fail(Code::unsupported, words_of(os_error)); }

// Debian 12's liburing does not export all of the wrappers that it declares.
int register_with(const io_uring* ring, unsigned operation, const void* argument, unsigned n) {
  return io_uring_register(static_cast<unsigned>(ring->ring_fd), operation, argument, n);
}

// Nothing else can be asked of this ring, whatever happens to the process.
int restrict_ring(io_uring* ring) {
  constexpr uint8_t kOperations[] = {IORING_OP_ACCEPT,       IORING_OP_RECV,     IORING_OP_SEND,
                                     IORING_OP_SENDMSG,      IORING_OP_POLL_ADD, IORING_OP_READ,
                                     IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
  io_uring_restriction rules[std::size(kOperations) + 4] = {};
  unsigned n = 0;
  for (const uint8_t operation : kOperations) {
    rules[n].opcode = IORING_RESTRICTION_SQE_OP;
    rules[n++].sqe_op = operation;
  }
  rules[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  rules[n++].sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
  rules[n].opcode = IORING_RESTRICTION_REGISTER_OP;
  rules[n++].register_op = IORING_REGISTER_RING_FDS;
  rules[n].opcode = IORING_RESTRICTION_REGISTER_OP;
  rules[n++].register_op = IORING_UNREGISTER_RING_FDS;
  rules[n].opcode = IORING_RESTRICTION_REGISTER_OP;
  rules[n++].register_op = IORING_REGISTER_EVENTFD;
  return register_with(ring, IORING_REGISTER_RESTRICTIONS, rules, n);
}

}  // namespace

Result<std::unique_ptr<UringRing>> UringRing::open(const DriverOptions& options) {
  std::unique_ptr<UringRing> ring(new UringRing);
  // Multishot receive came with 6.0, as did SINGLE_ISSUER: a kernel that knows one knows the other.
  constexpr unsigned kAlways = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                               IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED |
                               IORING_SETUP_TASKRUN_FLAG;
  constexpr unsigned kSteps[] = {kAlways | IORING_SETUP_DEFER_TASKRUN,
                                 kAlways | IORING_SETUP_COOP_TASKRUN};
  int result = -EINVAL;
  io_uring_params params{};
  for (const unsigned flags : kSteps) {
    params = {};
    params.flags = flags;
    params.cq_entries = kCompletions;
    result = io_uring_queue_init_params(kEntries, &ring->ring_, &params);
    if (result != -EINVAL) break;
  }
  if (result != 0) return unavailable(-result);
  ring->open_ = true;
  ring->deferred_ = (params.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
  if ((params.features & kFeatures) != kFeatures) return unavailable(EINVAL);
  (void)io_uring_ring_dontfork(&ring->ring_);
  // The submission array maps each place to the entry of the same place, always.
  for (unsigned i = 0; i < ring->ring_.sq.ring_entries; ++i) ring->ring_.sq.array[i] = i;

  if (options.polling != Polling::block) {
    const auto us = std::clamp<int64_t>(options.spin.count() / 1000, 1, 1000);
    UringNapi napi{.busy_poll_us = static_cast<uint32_t>(us),
                   .prefer_busy_poll = 0,
                   .reserved0 = {},
                   .reserved1 = 0};
    ring->napi_ = register_with(&ring->ring_, kRegisterNapi, &napi, 1) == 0;
  }
  return ring;
}

UringRing::~UringRing() {
  if (open_) io_uring_queue_exit(&ring_);
  if (buffers_ != nullptr) ::munmap(buffers_, places_ * sizeof(io_uring_buf));
}

Result<void> UringRing::open_buffers(uint32_t count) {
  places_ = std::bit_ceil(std::clamp<uint32_t>(count, 2, 32768));
  void* memory = ::mmap(nullptr, places_ * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(Code::io, "no memory for the receive ring", errno);
  buffers_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(memory);
  registration.ring_entries = places_;
  registration.bgid = 0;
  const int result = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (result != 0) return unavailable(-result);
  io_uring_buf_ring_init(buffers_);
  if (const int refused = restrict_ring(&ring_); refused != 0) return unavailable(-refused);
  return {};
}

// The ring belongs to this thread from now on.
Result<void> UringRing::start() {
  started_ = true;
  const int result = register_with(&ring_, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (result < 0) return fail(Code::io, "io_uring cannot be started", -result);
  // One look-up of the descriptor less per call; there are only 16 places for it in a thread.
  (void)io_uring_register_ring_fd(&ring_);
  return {};
}

uint32_t UringRing::unsubmitted() const noexcept { return ring_.sq.sqe_tail - *ring_.sq.khead; }

io_uring_sqe* UringRing::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) [[unlikely]] {
    PASTE_CHECK(submit());
    sqe = io_uring_get_sqe(&ring_);
    PASTE_CHECK(sqe != nullptr);
  }
  return sqe;
}

unsigned UringRing::flush_entries() noexcept {
  io_uring_sq& sq = ring_.sq;
  sq.sqe_head = sq.sqe_tail;
  // The kernel reads the tail with acquire: entries are complete when it sees them.
  io_uring_smp_store_release(sq.ktail, sq.sqe_tail);
  return sq.sqe_tail - io_uring_smp_load_acquire(sq.khead);
}

uint32_t UringRing::ready() const noexcept {
  return io_uring_smp_load_acquire(ring_.cq.ktail) - *ring_.cq.khead;
}

bool UringRing::more_put_off() const noexcept {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void UringRing::signal(int event_fd) noexcept {
  PASTE_CHECK(register_with(&ring_, IORING_REGISTER_EVENTFD, &event_fd, 1) == 0);
}

int UringRing::enter_kernel(unsigned submit, unsigned min_complete, unsigned flags,
                            const __kernel_timespec* wait) noexcept {
  io_uring_getevents_arg argument{};
  argument.ts = reinterpret_cast<uintptr_t>(wait);
  flags |= IORING_ENTER_EXT_ARG;
  if (ring_.enter_ring_fd != ring_.ring_fd) flags |= IORING_ENTER_REGISTERED_RING;
  return io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), submit, min_complete, flags,
                         reinterpret_cast<sigset_t*>(&argument), sizeof argument);
}

Result<void> UringRing::enter(int64_t wait_ns) {
  if (!started_) [[unlikely]]
    PASTE_TRY(start());
  const unsigned submit = flush_entries();
  const bool wait = wait_ns != 0 && ready() == 0;
  const bool called = more_put_off();
  if (submit == 0 && !wait && !called) return {};
  if ((IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0) ++overflows_;
  __kernel_timespec limit{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
  const int result = enter_kernel(submit, wait ? 1 : 0, IORING_ENTER_GETEVENTS,
                                  wait && wait_ns > 0 ? &limit : nullptr);
  if (result >= 0) return {};
  switch (-result) {
    case ETIME:
    case EAGAIN:
    case EBUSY:  // completions must be taken first
    case EINTR:  // a handler that wants the turn to end calls wake()
      return {};
    default:
      return fail(Code::io, "io_uring failed", -result);
  }
}

Result<void> UringRing::submit() {
  if (!started_) [[unlikely]]
    PASTE_TRY(start());
  const unsigned n = flush_entries();
  if (n == 0) return {};
  const int result = enter_kernel(n, 0, 0, nullptr);
  if (result < 0 && result != -EAGAIN && result != -EBUSY && result != -EINTR) {
    return fail(Code::io, "io_uring failed", -result);
  }
  return {};
}

}  // namespace paste::port
