#include "port/driver.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/time.h"
#include "port/kernel/kernel_driver.h"
#include "port/kernel/uring_ring.h"
#include "port/xdp/shared_port_driver.h"

namespace paste::port {
namespace {

Result<void> check_options(const DriverOptions& options) {
  if (options.limits.connections_max == 0) {
    return fail(Code::invalid, "connections_max is at least 1");
  }
  if (options.limits.receive_buffers == 0) {
    return fail(Code::invalid, "receive_buffers is at least 1");
  }
  if (options.spin.count() < 0) return fail(Code::invalid, "spin is not negative");
  return {};
}

}  // namespace

Result<std::unique_ptr<Driver>> open_driver(std::string_view spec, pool::Core& core,
                                            const DriverOptions& options) {
  PASTE_TRY(check_options(options));
  if (spec.substr(0, 4) == "xdp:") {
    PASTE_TRY_ASSIGN(auto xdp, XdpDriver::open(spec.substr(4), core, options));
    DriverOptions sockets = options;
    sockets.pcap.clear();
    PASTE_TRY_ASSIGN(auto kernel, open_driver("kernel", core, sockets));
    return std::make_unique<SharedPortDriver>(std::move(xdp), std::move(kernel));
  }
  if (spec != "kernel") {
    return fail(Code::invalid,
                "unknown port '" + std::string(spec) + "': allowed are kernel and xdp:INTERFACE");
  }
  if (!options.pcap.empty()) {
    return fail(Code::unsupported,
                "a capture needs an xdp port: what the kernel's sockets send, tcpdump -i shows");
  }
  if (options.io == Io::epoll) return open_epoll(core, options);
  auto driver = open_uring(core, options);
  if (driver || options.io == Io::uring || driver.error().code() != Code::unsupported) {
    return driver;
  }
  return open_epoll(core, options);
}

std::string uring_unavailable_reason() {
  const auto ring = UringRing::open({});
  if (!ring) return ring.error().message();
  const auto opened = (*ring)->open_buffers(2);
  return opened ? std::string() : opened.error().message();
}

namespace {

// One descriptor per driver; a driver that polls busily is not slept on.
Result<void> sleep_on(std::span<Driver* const> drivers, int64_t wait_ns) {
  constexpr size_t kFew = 16;
  pollfd few[kFew];
  std::vector<pollfd> many;
  if (drivers.size() > kFew) many.resize(drivers.size());
  pollfd* fds = many.empty() ? few : many.data();
  for (size_t i = 0; i < drivers.size(); ++i) {
    fds[i] = {.fd = drivers[i]->fd(), .events = POLLIN, .revents = 0};
  }
  timespec limit{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
  if (::ppoll(fds, drivers.size(), wait_ns < 0 ? nullptr : &limit, nullptr) < 0 && errno != EINTR) {
    return fail(Code::io, "the ports cannot be waited for", errno);
  }
  return {};
}

uint64_t spin_of(std::span<Driver* const> drivers) {
  uint64_t spin = 0;
  for (const Driver* driver : drivers) {
    const auto* kernel = dynamic_cast<const KernelDriver*>(driver);
    if (kernel == nullptr) continue;
    const DriverOptions& options = kernel->options();
    if (options.polling == Polling::busy) return UINT64_MAX;
    if (options.polling == Polling::adaptive) {
      spin = std::max(spin, static_cast<uint64_t>(options.spin.count()));
    }
  }
  return spin;
}

}  // namespace

Result<void> poll_all(std::span<Driver* const> drivers, Duration timeout) {
  const bool endless = timeout.count() < 0;
  const uint64_t begin = base::monotonic_ns();
  const uint64_t end = endless ? UINT64_MAX : begin + static_cast<uint64_t>(timeout.count());
  const uint64_t spin = spin_of(drivers);
  for (bool slept = false;;) {
    bool found = false;
    for (Driver* driver : drivers) {
      PASTE_TRY(driver->poll(Duration{0}));
      found = found || !driver->events().empty();
    }
    const uint64_t now = base::monotonic_ns();
    if (found || now >= end) return {};
    if (now - begin < spin) continue;
    // Woken without an event: wake(), or a ticket that became durable. The program's turn.
    if (slept) return {};
    const auto wait = endless ? -1 : static_cast<int64_t>(end - now);
    PASTE_TRY(sleep_on(drivers, wait));
    slept = true;
  }
}

}  // namespace paste::port
