// One io_uring: set up, restricted to what we use, and entered once per exchange.
//
// It is set up disabled and started by the first exchange, because from then on it belongs to the
// thread that started it.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "paste/result.h"
#include "port/driver.h"

namespace paste::port {

class UringRing {
 public:
  // Errors: unsupported, with the reason in words.
  static Result<std::unique_ptr<UringRing>> open(const DriverOptions& options);
  ~UringRing();
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;

  // A cleared entry to fill in; submits what is there if the queue is full.
  // What entries point to (not the bytes sent) must stay until unsubmitted() is 0.
  [[nodiscard]] io_uring_sqe* entry();
  [[nodiscard]] uint32_t unsubmitted() const noexcept;

  // Submits everything, runs what the kernel has put off, and waits for at most `wait_ns` until a
  // completion is there (0: not at all, and no system call if nothing calls for one; negative:
  // without limit). A signal ends the wait. Errors: io.
  Result<void> enter(int64_t wait_ns);
  // Submits everything without running anything.
  Result<void> submit();

  // Completions that are there: completion(i) for each i below ready(), then done(ready).
  [[nodiscard]] uint32_t ready() const noexcept;
  [[nodiscard]] const io_uring_cqe& completion(uint32_t i) const noexcept {
    return ring_.cq.cqes[(*ring_.cq.khead + i) & ring_.cq.ring_mask];
  }
  void done(uint32_t n) noexcept { io_uring_cq_advance(&ring_, n); }
  [[nodiscard]] uint64_t overflows() const noexcept { return overflows_; }

  [[nodiscard]] bool started() const noexcept { return started_; }
  // The kernel has put off work until we enter.
  [[nodiscard]] bool more_put_off() const noexcept;
  // Signals this event descriptor whenever there is something to take or to run.
  void signal(int event_fd) noexcept;
  [[nodiscard]] bool napi() const noexcept { return napi_; }

  // --- Provided buffers (group 0) ------------------------------------------------------------
  // Errors: unsupported.
  Result<void> open_buffers(uint32_t count);
  [[nodiscard]] uint32_t buffer_places() const noexcept { return places_; }
  void provide(std::byte* data, uint32_t length, uint16_t id) noexcept {
    io_uring_buf_ring_add(buffers_, data, length, id, static_cast<int>(places_ - 1),
                          static_cast<int>(added_++));
  }
  void publish_provided() noexcept {
    io_uring_buf_ring_advance(buffers_, static_cast<int>(added_));
    added_ = 0;
  }

 private:
  UringRing() = default;
  Result<void> start();
  int enter_kernel(unsigned submit, unsigned min_complete, unsigned flags,
                   const __kernel_timespec* wait) noexcept;
  unsigned flush_entries() noexcept;

  io_uring ring_{};
  bool open_ = false;
  bool started_ = false;
  bool deferred_ = false;  // work of the kernel's waits until we enter
  bool napi_ = false;
  uint64_t overflows_ = 0;
  io_uring_buf_ring* buffers_ = nullptr;
  uint32_t places_ = 0;
  uint32_t added_ = 0;
};

}  // namespace paste::port
