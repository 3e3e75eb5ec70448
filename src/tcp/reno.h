// RFC 5681 congestion control with appropriate byte counting: the simple alternative to CUBIC.
#pragma once

#include <cstdint>

#include "tcp/window.h"

namespace paste::tcp {

class Reno {
 public:
  // Congestion avoidance for `ack.acked_bytes`.
  void avoid(Window& window, const AckEvent& ack) noexcept;
  // A loss or a mark with `flight` bytes outstanding: the new ssthresh, in bytes.
  [[nodiscard]] uint64_t reduce(const Window& window, uint64_t flight) noexcept;
  void on_timeout() noexcept { counted_ = 0; }
  void on_avoidance_begins(const Window&, Instant) noexcept { counted_ = 0; }
  void on_app_limited(Instant) noexcept {}

 private:
  uint64_t counted_ = 0;  // bytes acknowledged since the last increase: bytes_acked of RFC 3465
};

}  // namespace paste::tcp
