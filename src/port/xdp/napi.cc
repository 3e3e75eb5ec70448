#include "port/xdp/napi.h"

#include <linux/genetlink.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "port/xdp/netlink.h"
#include "port/xdp/xdp_constants.h"

namespace paste::port {
namespace {

// One poll lasts so long at most: who does not come through the interface waits for it. Much less
// costs a timer for each wait.
constexpr int64_t kSpinNs = 100'000;
// While somebody polls, no interrupt is taken up again for so long, so many times.
constexpr uint32_t kDeferHardIrqs = 2;
constexpr uint32_t kPatienceNs = 20'000'000;

// Returns 0 or an errno.
int set_napi(uint32_t napi, uint32_t defer, uint32_t timeout_ns) {
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  put_generic(request, netdev_family(), kNetdevNapiSet);
  request->nlmsg_flags = NLM_F_ACK;
  mnl_attr_put_u32(request, kNetdevNapiId, napi);
  mnl_attr_put_u32(request, kNetdevNapiDeferHardIrqs, defer);
  mnl_attr_put_u32(request, kNetdevNapiGroFlushTimeout, timeout_ns);
  return ask_netlink(NETLINK_GENERIC, request, [](const nlmsghdr*) {});
}

int register_napi(int ring, uint8_t operation, uint32_t parameter) {
  IoUringNapi napi{};
  napi.busy_poll_to_us = 2 * kSpinNs / 1000;
  napi.prefer_busy_poll = 1;
  napi.operation = operation;
  napi.parameter = parameter;
  return static_cast<int>(::syscall(SYS_io_uring_register, ring, kIoringRegisterNapi, &napi, 1));
}

// From now on the ring only waits for descriptors: a program that was taken over gets no system
// call by it that its filter refuses. Returns 0 or an errno.
int restrict_and_enable(io_uring& ring) {
  io_uring_restriction only{};
  only.opcode = IORING_RESTRICTION_SQE_OP;
  only.sqe_op = IORING_OP_POLL_ADD;
  const auto call = [&](unsigned operation, const void* argument, unsigned n) {
    return static_cast<int>(::syscall(SYS_io_uring_register, ring.ring_fd, operation, argument, n));
  };
  const bool done = call(IORING_REGISTER_RESTRICTIONS, &only, 1) == 0 &&
                    call(IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0;
  return done ? 0 : errno;
}

}  // namespace

Result<std::vector<uint32_t>> find_napis(int ifindex) {
  if (netdev_family() == 0) {
    return fail(Code::unsupported, "the kernel does not name its NAPI instances (Linux 6.8 does)");
  }
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  put_generic(request, netdev_family(), kNetdevNapiGet);
  request->nlmsg_flags = NLM_F_DUMP;
  mnl_attr_put_u32(request, kNetdevNapiIfindex, static_cast<uint32_t>(ifindex));
  std::vector<uint32_t> napis;
  const int error = ask_netlink(NETLINK_GENERIC, request, [&](const nlmsghdr* answer) {
    each_attribute(answer, sizeof(genlmsghdr), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == kNetdevNapiId) {
        napis.push_back(mnl_attr_get_u32(attribute));
      }
    });
  });
  if (error != 0) return fail(Code::unsupported, "the NAPI instances cannot be listed", error);
  if (napis.empty()) return fail(Code::unsupported, "the interface names no NAPI instance");
  return napis;
}

Result<std::unique_ptr<NapiPoller>> NapiPoller::open(std::span<const uint32_t> napis,
                                                     std::span<const int> sockets) {
  std::unique_ptr<NapiPoller> made(new NapiPoller);
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED;
  const int error = io_uring_queue_init_params(64, &made->ring_, &params);
  if (error != 0) return fail(Code::unsupported, "io_uring cannot be used", -error);
  made->open_ = true;
  if (register_napi(made->ring_.ring_fd, kNapiRegister, kNapiTrackStatic) != 0) {
    return fail(Code::unsupported, "io_uring cannot poll a given NAPI (Linux 6.13 can)", errno);
  }
  for (const uint32_t napi : napis) {
    if (register_napi(made->ring_.ring_fd, kNapiStaticAdd, napi) != 0) {
      return fail(Code::io, "a NAPI instance cannot be polled", errno);
    }
    if (const int refused = set_napi(napi, kDeferHardIrqs, kPatienceNs); refused != 0) {
      return fail(Code::permission, "a NAPI instance cannot be told to leave its interrupts off",
                  refused);
    }
  }
  if (const int refused = restrict_and_enable(made->ring_); refused != 0) {
    return fail(Code::unsupported, "io_uring cannot be restricted", refused);
  }
  for (const int fd : sockets) made->watch(fd);
  io_uring_submit(&made->ring_);
  return made;
}

NapiPoller::~NapiPoller() {
  if (open_) io_uring_queue_exit(&ring_);
}

void NapiPoller::watch(int fd) noexcept {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  io_uring_prep_poll_multishot(entry, fd, POLLIN);
  io_uring_sqe_set_data64(entry, static_cast<uint64_t>(fd));
}

void NapiPoller::poll() noexcept {
  __kernel_timespec wait{.tv_sec = 0, .tv_nsec = kSpinNs};
  io_uring_cqe* first = nullptr;
  (void)io_uring_submit_and_wait_timeout(&ring_, &first, 1, &wait, nullptr);
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    ++count;
    if ((completion->flags & IORING_CQE_F_MORE) == 0) {
      watch(static_cast<int>(completion->user_data));
    }
  }
  io_uring_cq_advance(&ring_, count);
}

}  // namespace paste::port
