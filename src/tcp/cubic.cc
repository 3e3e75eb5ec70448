#include "tcp/cubic.h"

namespace paste::tcp {
namespace {
// RFC 9438 §4.6: beta_cubic = 0.7; §4.3: alpha_cubic = 3 × (1 - beta) / (1 + beta) = 9 / 17.
constexpr uint64_t kBetaNumerator = 7, kBetaDenominator = 10;
constexpr uint64_t kAlphaNumerator = 9, kAlphaDenominator = 17;
// An epoch's age is capped so that its cube fits; the window has long reached its bound by then.
constexpr uint64_t kAgeMaxMs = 1'000'000;

uint64_t to_ms(Duration d) noexcept { return static_cast<uint64_t>(d.count()) / 1'000'000; }

// RFC 9438 §4.2: C × t³ with C = 0.4 segments per second cubed, in bytes. The two divisions by 10^5
// keep every product below 2^63: (10^6)³ / 10^5 × 4 × 65535 < 2.7 × 10^18.
uint64_t growth(uint64_t ms, uint32_t mss) noexcept {
  const uint64_t t = std::min(ms, kAgeMaxMs);
  return t * t * t / 100'000 * (uint64_t{4} * mss) / 100'000;
}
}  // namespace

uint32_t cube_root(uint64_t n) noexcept {
  // Digit by digit in base 2: 22 steps, no division; it runs once in an epoch.
  uint64_t root = 0;
  for (int shift = 63; shift >= 0; shift -= 3) {
    root <<= 1;
    const uint64_t step = 3 * root * (root + 1) + 1;
    if ((n >> shift) >= step) {
      n -= step << shift;
      ++root;
    }
  }
  return static_cast<uint32_t>(root);
}

uint64_t Cubic::w_cubic(uint64_t ms, uint32_t mss) const noexcept {
  if (ms >= k_ms_) return w_max_ + growth(ms - k_ms_, mss);
  const uint64_t below = growth(k_ms_ - ms, mss);
  return below >= w_max_ ? 0 : w_max_ - below;
}

void Cubic::begin_epoch(const Window& window, Instant now) noexcept {
  epoch_running_ = true;
  app_limited_ = false;
  epoch_ = now;
  rest_ = 0;
  w_est_ = window.cwnd << kFraction;  // RFC 9438 §4.3: W_est starts at cwnd_epoch
  if (w_max_ <= window.cwnd) {
    // RFC 9438 §4.8, §4.10: after a timeout, or leaving slow start without a congestion event, the
    // window is at the plateau already.
    w_max_ = window.cwnd;
    k_ms_ = 0;
    return;
  }
  // RFC 9438 §4.2 equation 2: K = cbrt((W_max - cwnd_epoch) / C), here in milliseconds.
  const uint64_t distance = std::min(w_max_ - window.cwnd, uint64_t{1} << 32);
  k_ms_ = cube_root(distance * 2'500'000'000 / window.mss);
}

void Cubic::grow_estimate(const Window& window, uint64_t acked) noexcept {
  // RFC 9438 §4.3 equation 4: alpha × segments_acked / cwnd; alpha is 1 once W_est has come back to
  // where the last reduction was.
  const bool regained = w_est_ >= cwnd_prior_ << kFraction;
  const uint64_t numerator = regained ? 1 : kAlphaNumerator;
  const uint64_t denominator = regained ? 1 : kAlphaDenominator;
  const uint64_t bytes = std::min(acked, window.cwnd);
  w_est_ += (bytes * window.mss * numerator << kFraction) / (denominator * window.cwnd);
}

void Cubic::avoid(Window& window, const AckEvent& ack) noexcept {
  if (!epoch_running_) begin_epoch(window, ack.now);
  if (app_limited_) {
    // RFC 9438 §5.8: time in which the application limited the flow does not count.
    epoch_ = epoch_ + (ack.now - limited_since_);
    app_limited_ = false;
  }
  const uint64_t age = to_ms(ack.now - epoch_);
  grow_estimate(window, ack.acked_bytes);
  const uint64_t estimate = w_est_ >> kFraction;
  if (w_cubic(age, window.mss) < estimate) {
    // RFC 9438 §4.3: the Reno-friendly region.
    if (estimate > window.cwnd) window.grow(estimate - window.cwnd);
    return;
  }
  // RFC 9438 §4.2: the target one round trip ahead, between cwnd and 1.5 × cwnd.
  const uint64_t target = std::clamp(w_cubic(age + to_ms(ack.srtt), window.mss), window.cwnd,
                                     window.cwnd + window.cwnd / 2);
  // RFC 9438 §4.4, §4.5: (target - cwnd) / cwnd segments for each segment acknowledged.
  const uint64_t bytes = std::min(ack.acked_bytes, window.cwnd);
  const uint64_t credit = (target - window.cwnd) * bytes + std::min(rest_, window.cwnd);
  rest_ = credit % window.cwnd;
  window.grow(credit / window.cwnd);
}

uint64_t Cubic::reduce(const Window& window, uint64_t flight) noexcept {
  cwnd_prior_ = window.cwnd;
  // RFC 9438 §4.7: fast convergence: a flow that lost before it regained its plateau leaves room.
  w_max_ = window.cwnd < w_max_ ? window.cwnd * (kBetaNumerator + kBetaDenominator) / 2 / 10
                                : window.cwnd;
  epoch_running_ = false;
  // RFC 9438 §4.6: ssthresh = flight_size × beta_cubic, at least two segments.
  return std::max<uint64_t>(flight * kBetaNumerator / kBetaDenominator, uint64_t{2} * window.mss);
}

void Cubic::on_timeout() noexcept {
  // RFC 9438 §4.8: the first avoidance after a timeout starts with K = 0 and W_max = cwnd.
  w_max_ = 0;
  epoch_running_ = false;
}

void Cubic::on_app_limited(Instant now) noexcept {
  if (!epoch_running_ || app_limited_) return;
  app_limited_ = true;
  limited_since_ = std::max(now, epoch_);  // the pause may have begun before the epoch
}

}  // namespace paste::tcp
