// RFC 9438 CUBIC, in integers: bytes, milliseconds, and 12 fractional bits where bytes are too
// coarse.
#pragma once

#include <cstdint>

#include "tcp/window.h"

namespace paste::tcp {

// floor(cbrt(n)).
[[nodiscard]] uint32_t cube_root(uint64_t n) noexcept;

// The names are those of RFC 9438 §4.1.2.
class Cubic {
 public:
  // Congestion avoidance for `ack.acked_bytes`.
  void avoid(Window& window, const AckEvent& ack) noexcept;
  // A loss or a mark with `flight` bytes outstanding: the new ssthresh, in bytes.
  [[nodiscard]] uint64_t reduce(const Window& window, uint64_t flight) noexcept;
  void on_timeout() noexcept;
  // Fast recovery or slow start is over; the next acknowledgement starts an epoch.
  void on_avoidance_begins(const Window&, Instant) noexcept { epoch_running_ = false; }
  // The application did not use the window at `now`.
  void on_app_limited(Instant now) noexcept;

  [[nodiscard]] uint64_t w_max() const noexcept { return w_max_; }
  // Where an earlier instance left off.
  void set_w_max(uint64_t bytes) noexcept { w_max_ = bytes; }
  [[nodiscard]] uint64_t k_ms() const noexcept { return k_ms_; }
  // W_cubic `ms` milliseconds into the epoch, in bytes, not below 0. (RFC 9438 §4.2 equation 1)
  [[nodiscard]] uint64_t w_cubic(uint64_t ms, uint32_t mss) const noexcept;

 private:
  static constexpr uint32_t kFraction = 12;

  void begin_epoch(const Window& window, Instant now) noexcept;
  void grow_estimate(const Window& window, uint64_t acked) noexcept;

  uint64_t w_max_ = 0;       // 0: no congestion event has set it, the epoch starts at its plateau
  uint64_t cwnd_prior_ = 0;  // before the last reduction
  uint64_t w_est_ = 0;       // << kFraction
  uint64_t k_ms_ = 0;
  uint64_t rest_ = 0;  // of the division by cwnd, so that small increments are not lost
  Instant epoch_{};
  Instant limited_since_{};
  bool epoch_running_ = false;
  bool app_limited_ = false;
};

}  // namespace paste::tcp
