// Goal: the ring loses no completion when they overflow, does only what it is restricted to, and
// where io_uring is forbidden the other implementation takes over, with the reason in words.
#include "port/kernel/uring_ring.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "port/kernel/sockets.h"
#include "port/test_driver.h"

namespace paste::port {
namespace {

std::unique_ptr<UringRing> open_ring() {
  auto ring = UringRing::open({});
  EXPECT_TRUE(ring.has_value()) << ring.error().message();
  EXPECT_TRUE((*ring)->open_buffers(2).has_value());
  return std::move(*ring);
}

TEST(UringRing, OverflowingCompletionsAllArrive) {
  auto ring = open_ring();
  const Descriptor ready(::eventfd(1, EFD_CLOEXEC));
  constexpr uint32_t kPolls = 20'000;  // more than there is room for
  for (uint32_t i = 0; i < kPolls; ++i) {
    io_uring_sqe* sqe = ring->entry();
    io_uring_prep_poll_add(sqe, ready.get(), POLLIN);
    sqe->user_data = i;
  }
  std::vector<bool> seen(kPolls, false);
  uint32_t count = 0;
  for (int i = 0; i < 10'000 && count < kPolls; ++i) {
    ASSERT_TRUE(ring->enter(100'000'000).has_value());
    const uint32_t n = ring->ready();
    for (uint32_t j = 0; j < n; ++j) {
      const io_uring_cqe& cqe = ring->completion(j);
      ASSERT_FALSE(seen[cqe.user_data]);
      seen[cqe.user_data] = true;
      ++count;
    }
    ring->done(n);
  }
  EXPECT_EQ(count, kPolls);
  EXPECT_GT(ring->overflows(), 0u);
}

TEST(UringRing, DoesNothingButWhatItIsFor) {
  auto ring = open_ring();
  io_uring_sqe* sqe = ring->entry();
  io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
  ASSERT_TRUE(ring->enter(1'000'000'000).has_value());
  ASSERT_EQ(ring->ready(), 1u);
  EXPECT_EQ(ring->completion(0).res, -EACCES);
  ring->done(1);
}

// A sandbox as containers have it: io_uring_setup() is refused.
void forbid_uring() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = std::size(code), .filter = code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(10);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(11);
}

TEST(UringForbidden, EpollTakesOverAndTheReasonIsSaid) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    forbid_uring();
    auto core = make_core(1u << 20);
    if (uring_unavailable_reason().find("forbidden") == std::string::npos) ::_exit(1);
    auto automatic = open_driver("kernel", *core, {});
    if (!automatic || (*automatic)->description() != "kernel (epoll)") ::_exit(2);
    DriverOptions options;
    options.io = Io::uring;
    const auto refused = open_driver("kernel", *core, options);
    if (refused || refused.error().code() != Code::unsupported) ::_exit(3);
    if (refused.error().message().find("forbidden") == std::string::npos) ::_exit(4);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace paste::port
