#include "tcp/window_validation.h"

namespace paste::tcp {

void WindowValidation::on_ack(const AckEvent& ack) noexcept {
  if (!started_) {
    started_ = true;
    round_end_ = ack.nxt;
    period_begin_ = validated_at_ = ack.now;
  }
  round_bytes_ += ack.acked_bytes;
  if (ack.una < round_end_) return;
  // RFC 7661 §4.2: the sampling period is max(3 × RTT, 1 s).
  const Duration period = std::max<Duration>(3 * ack.srtt, std::chrono::seconds(1));
  if (ack.now - period_begin_ >= period) {
    best_older_ = best_;
    best_ = round_bytes_;
    period_begin_ = ack.now;
  } else if (best_ == kUndefined || round_bytes_ > best_) {
    best_ = round_bytes_;
  }
  round_bytes_ = 0;
  round_end_ = ack.nxt;
}

uint64_t WindowValidation::pipe_ack() const noexcept {
  if (best_older_ == kUndefined) return best_;
  return std::max(best_, best_older_);
}

bool WindowValidation::decay(Window& window, Instant now) noexcept {
  if (!started_) return false;
  if (validated(window)) {
    validated_at_ = now;
    return false;
  }
  if (now - validated_at_ < kNonValidatedPeriod) return false;
  // RFC 7661 §4.4.3: at the end of the period the window is halved, not below the initial one.
  window.ssthresh = std::max(window.ssthresh, 3 * window.cwnd / 4);
  window.cwnd = std::max(window.cwnd / 2, std::min(window.cwnd, initial_window(window.mss)));
  validated_at_ = now;
  return true;
}

uint64_t WindowValidation::loss_base(const Window& window, uint64_t flight) const noexcept {
  if (validated(window)) return flight;
  return std::max(pipe_ack(), flight);  // RFC 7661 §4.4.1: max(pipeACK, LossFlightSize)
}

}  // namespace paste::tcp
