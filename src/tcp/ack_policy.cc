#include "tcp/ack_policy.h"

#include <algorithm>

namespace paste::tcp {

AckPolicy::AckPolicy(AckConfig config, uint16_t mss) noexcept
    : config_(config), mss_(mss), quick_(config.quick_acks) {
  // RFC 9293 MUST-40: an acknowledgement is delayed by less than 0.5 seconds.
  config_.delay = std::clamp<Duration>(config_.delay, Duration(0), std::chrono::milliseconds(499));
  full_size_ = std::min<uint16_t>(full_size_, mss_);
}

void AckPolicy::on_segment(Instant now, const Arrival& arrival) noexcept {
  // RFC 3168 §6.1.3: CWR ends the echo unless this very segment was marked again.
  if (arrival.cwr) ece_ = false;
  if (arrival.ce) ece_ = true;
  if (arrival.payload > 0 || arrival.out_of_order || arrival.fin) {
    // The sender learns of a change of the mark with the segment that carried it.
    if (arrival.ce != last_ce_) now_ = true;
    last_ce_ = arrival.ce;
  }
  // RFC 5681 §4.2: out-of-order data and data that fills a gap are acknowledged at once.
  if (arrival.out_of_order || arrival.fills_gap || arrival.fin) now_ = true;
  if (arrival.payload == 0) return;
  const auto seen = static_cast<uint16_t>(std::min<uint32_t>(arrival.payload, mss_));
  // What a filled gap delivers is several segments.
  if (!arrival.fills_gap) full_size_ = std::max(full_size_, seen);
  unacked_ += arrival.payload;
  // RFC 9293 SHLD-19: at least every second full-sized segment, or 2 × RMSS bytes.
  // RFC 5681 §4.2 says the same.
  if (unacked_ >= 2u * full_size_) now_ = true;
  if (quick_ > 0) {
    --quick_;
    now_ = true;
  }
  // RFC 9293 SHLD-18: delay; the first unacknowledged byte sets the deadline, later ones do not.
  if (deadline_ == kNever) deadline_ = now + config_.delay;
}

void AckPolicy::on_ack_sent() noexcept {
  now_ = false;
  deadline_ = kNever;
  unacked_ = 0;
}

}  // namespace paste::tcp
