// Drives an interface's NAPI, which moves frames between its queues and our rings, from the
// program's own thread, so that the work is done on the core whose work it is, and at once.
//
// Drivers that tell an AF_XDP socket its NAPI could be driven through the socket; veth does not.
// So the instances are looked up (netlink family "netdev", Linux 6.8) and given to an io_uring,
// which polls them while we wait on it (IORING_REGISTER_NAPI with static tracking, Linux 6.13).
// Each instance is told to leave its interrupts off while we poll (napi_defer_hard_irqs,
// gro_flush_timeout: Documentation/networking/napi.rst). If we stop polling, the kernel takes over
// after some tens of milliseconds.
// Thread-safety: none.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "paste/result.h"
#include "paste/units.h"

namespace paste::port {

// The instances of an interface. Errors: unsupported (before Linux 6.8, or it has none), io.
[[nodiscard]] Result<std::vector<uint32_t>> find_napis(int ifindex);

class NapiPoller {
 public:
  // `sockets` end a poll when something arrives at them. Errors: unsupported with the reason,
  // permission, io. The sockets must outlive it.
  static Result<std::unique_ptr<NapiPoller>> open(std::span<const uint32_t> napis,
                                                  std::span<const int> sockets);
  ~NapiPoller();
  NapiPoller(const NapiPoller&) = delete;
  NapiPoller& operator=(const NapiPoller&) = delete;

  // Polls the instances at least once, and on until something has arrived, at most 100 µs long.
  void poll() noexcept;

 private:
  NapiPoller() = default;
  io_uring ring_{};
  bool open_ = false;
  std::vector<int> sockets_;
  void watch(int fd) noexcept;
};

}  // namespace paste::port
