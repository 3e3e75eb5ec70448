#include "tcp/hystart.h"

#include <algorithm>

namespace paste::tcp {

void HyStart::begin_round(Seq nxt) noexcept {
  // RFC 9406 §4.2: rounds are delimited by sequence numbers.
  window_end_ = nxt;
  last_min_ = current_min_;
  current_min_ = Duration::max();
  samples_ = 0;
}

HyStart::Growth HyStart::on_ack(Seq una, Seq nxt, Duration rtt) noexcept {
  if (!started_) {
    started_ = true;
    window_end_ = nxt;
  }
  if (rtt.count() > 0) {
    current_min_ = std::min(current_min_, rtt);
    ++samples_;
  }
  if (samples_ >= kRttSamples && current_min_ != Duration::max()) {
    if (!conservative() && last_min_ != Duration::max()) {
      // RFC 9406 §4.2: the delay has grown: go on with care.
      const Duration threshold =
          std::clamp(last_min_ / kRttDivisor, kRttThresholdMin, kRttThresholdMax);
      if (current_min_ >= last_min_ + threshold) {
        css_baseline_ = current_min_;
        css_rounds_ = 0;
      }
    } else if (conservative() && current_min_ < css_baseline_) {
      css_baseline_ = Duration::max();  // RFC 9406 §4.2: it was jitter: resume slow start
    }
  }
  const bool round_ends = una >= window_end_;
  if (round_ends) {
    begin_round(nxt);
    // RFC 9406 §4.2: the round in which CSS was entered counts as one of the CSS_ROUNDS.
    if (conservative() && ++css_rounds_ >= kCssRounds) {
      css_baseline_ = Duration::max();
      return Growth::leave;
    }
  }
  return conservative() ? Growth::divided : Growth::full;
}

}  // namespace paste::tcp
