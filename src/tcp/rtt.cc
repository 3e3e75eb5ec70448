#include "tcp/rtt.h"

#include <algorithm>

namespace paste::tcp {

void WindowedMin::add(Duration value, Instant now, Duration window) noexcept {
  if (empty()) {
    current_ = older_ = value;
    rotated_ = now;
    return;
  }
  const Duration age = now - rotated_;
  if (age >= window / 2) {
    older_ = age >= window ? value : current_;  // after a long silence both halves are stale
    current_ = value;
    rotated_ = now;
  }
  current_ = std::min(current_, value);
}

void RttEstimator::on_sample(const RttSample& sample, Instant now) noexcept {
  if (sample.ambiguous) return;  // RFC 6298 §3: Karn's algorithm
  const Duration rtt = std::max(sample.rtt, Duration(1));
  latest_ = rtt;
  min_.add(rtt, now, std::chrono::microseconds(min_window_us_));
  if (!measured()) {
    srtt_ = rtt;  // RFC 6298 §2.2
    rttvar_ = rtt / 2;
  } else {
    // RFC 7323 §4.2: alpha and beta are divided by the number of samples in a round trip, so that
    // the history covers as much time as with one sample.
    const int64_t n = std::max<uint32_t>(sample.expected, 1);
    const Duration error = rtt - srtt_;
    const Duration spread = std::chrono::abs(error) - rttvar_;
    // RFC 6298 §2.3: beta = 1/4, alpha = 1/8. (Dividing by a constant is cheap.)
    rttvar_ += n == 1 ? spread / 4 : spread / (4 * n);
    srtt_ += n == 1 ? error / 8 : error / (8 * n);
    srtt_ = std::max(srtt_, Duration(1));
  }
  base_rto_ = srtt_ + std::max(kGranularity, 4 * rttvar_);  // RFC 6298 §2.3: K = 4
  backoff_ = 0;  // RFC 6298 §5: a new measurement collapses a backed-off timeout
}

void RttEstimator::on_timeout() noexcept {
  if (rto() < rto_max()) ++backoff_;
}

void RttEstimator::on_syn_was_retransmitted() noexcept {
  if (measured()) return;  // a timestamp has told the truth
  base_rto_ = std::max<Duration>(base_rto_, std::chrono::seconds(3));  // RFC 6298 §5.7
  backoff_ = 0;
}

Duration RttEstimator::rto() const noexcept {
  const Duration max = rto_max();
  // RFC 6298 §2.4
  Duration rto = std::max<Duration>(base_rto_, std::chrono::microseconds(rto_min_us_));
  for (uint32_t i = 0; i < backoff_ && rto < max; ++i) rto *= 2;  // RFC 6298 §5.5
  return std::min(rto, max);                                      // RFC 6298 §2.5
}

}  // namespace paste::tcp
