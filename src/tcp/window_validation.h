// RFC 7661: how much of the window the application really used, and what to do when it did not.
#pragma once

#include <cstdint>

#include "tcp/window.h"

namespace paste::tcp {

class WindowValidation {
 public:
  // RFC 7661 §4.4.3: the non-validated period.
  static constexpr Duration kNonValidatedPeriod = std::chrono::minutes(5);

  void on_ack(const AckEvent& ack) noexcept;
  // The bytes acknowledged in the best round trip of the sampling period; undefined before the
  // first round is over, which counts as "all of the window". (RFC 7661 §4.2)
  [[nodiscard]] uint64_t pipe_ack() const noexcept;
  // RFC 7661 §4.3: the window is validated while pipeACK ≥ cwnd / 2.
  [[nodiscard]] bool validated(const Window& window) const noexcept {
    return pipe_ack() >= window.cwnd / 2;
  }
  // After a period without validation: shrinks the window. True if it did. To be called on
  // acknowledgements and before sending after a pause.
  bool decay(Window& window, Instant now) noexcept;
  // RFC 7661 §4.4.1: the bytes a reduction starts from, instead of the flight, in the non-validated
  // phase.
  [[nodiscard]] uint64_t loss_base(const Window& window, uint64_t flight) const noexcept;
  void reset() noexcept { *this = WindowValidation{}; }

 private:
  static constexpr uint64_t kUndefined = UINT64_MAX;

  uint64_t round_bytes_ = 0;
  uint64_t best_ = kUndefined;        // of this sampling period
  uint64_t best_older_ = kUndefined;  // of the one before
  Instant period_begin_{};
  Instant validated_at_{};
  Seq round_end_{};
  bool started_ = false;
};

}  // namespace paste::tcp
