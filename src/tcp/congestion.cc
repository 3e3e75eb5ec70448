#include "tcp/congestion.h"

#include "base/check.h"

namespace paste::tcp {

Congestion::Congestion(const CongestionOptions& options, uint32_t mss) noexcept
    : options_(options) {
  PASTE_CHECK(mss >= 1 && mss <= 65535);
  if (options.algorithm == CongestionOptions::Algorithm::reno) algorithm_.emplace<Reno>();
  window_.mss = mss;
  window_.max = std::clamp<uint64_t>(options.window_max, uint64_t{2} * mss, Window::kUnlimited);
  window_.cwnd = std::min(initial_window(mss), window_.max);
}

ParkedWindow Congestion::park() const noexcept {
  ParkedWindow parked{.cwnd = static_cast<uint32_t>(window_.cwnd),
                      .ssthresh = static_cast<uint32_t>(window_.ssthresh)};
  if (const Cubic* cubic = std::get_if<Cubic>(&algorithm_)) {
    parked.w_max = static_cast<uint32_t>(std::min(cubic->w_max(), Window::kUnlimited));
  }
  return parked;
}

void Congestion::resume(const ParkedWindow& parked) noexcept {
  if (parked.cwnd == 0) return;
  window_.cwnd = std::clamp<uint64_t>(parked.cwnd, window_.mss, window_.max);
  window_.ssthresh = std::max<uint64_t>(parked.ssthresh, uint64_t{2} * window_.mss);
  if (Cubic* cubic = std::get_if<Cubic>(&algorithm_)) cubic->set_w_max(parked.w_max);
  first_slow_start_ = window_.ssthresh >= Window::kUnlimited;
  resumed_ = true;
}

// RFC 7661 §4.4.3: each period without use halves the window, down to the initial one.
void Congestion::decay_silence(Duration silent) noexcept {
  const uint64_t least = std::min(initial_window(window_.mss), window_.cwnd);
  for (; silent >= WindowValidation::kNonValidatedPeriod && window_.cwnd > least;
       silent -= WindowValidation::kNonValidatedPeriod) {
    window_.ssthresh = std::max(window_.ssthresh, 3 * window_.cwnd / 4);
    window_.cwnd = std::max(window_.cwnd / 2, least);
  }
}

void Congestion::set_mss(uint32_t mss) noexcept {
  PASTE_CHECK(mss >= 1 && mss <= 65535);
  window_.mss = mss;
  window_.cwnd = std::max<uint64_t>(window_.cwnd, mss);
  window_.ssthresh = std::max<uint64_t>(window_.ssthresh, uint64_t{2} * mss);
}

void Congestion::begin_avoidance(Instant now) noexcept {
  first_slow_start_ = false;
  std::visit([&](auto& a) { a.on_avoidance_begins(window_, now); }, algorithm_);
}

void Congestion::grow_slow_start(const AckEvent& ack) noexcept {
  // RFC 3465 §2.3: after a timeout an acknowledgement may cover what was received long before, so
  // L is 1 then.
  const uint64_t limit = uint64_t{after_timeout_ ? 1 : options_.slow_start_limit} * window_.mss;
  uint64_t bytes = std::min(ack.acked_bytes, limit);
  if (options_.hystart && first_slow_start_) {
    switch (hystart_.on_ack(ack.una, ack.nxt, ack.rtt)) {
      case HyStart::Growth::full:
        break;
      case HyStart::Growth::divided:
        bytes /= HyStart::kCssDivisor;  // RFC 9406 §4.2
        break;
      case HyStart::Growth::leave:
        window_.ssthresh = window_.cwnd;  // RFC 9406 §4.2
        begin_avoidance(ack.now);
        return;
    }
  }
  // RFC 5681 §3.1 equation 2. Not beyond ssthresh: the rest of the way is congestion avoidance's.
  window_.grow(std::min(bytes, window_.ssthresh - window_.cwnd));
  if (!window_.slow_start()) {
    after_timeout_ = false;
    begin_avoidance(ack.now);
  }
}

void Congestion::on_ack(const AckEvent& ack) noexcept {
  const bool validate = options_.idle == CongestionOptions::Idle::validate;
  if (validate) validation_.on_ack(ack);
  if (ack.in_recovery) return;
  if (validate) validation_.decay(window_, ack.now);
  // RFC 7661 §4.4, RFC 9438 §5.8: a window that is not used says nothing about the path.
  if (!ack.cwnd_limited) {
    std::visit([&](auto& a) { a.on_app_limited(ack.now); }, algorithm_);
    return;
  }
  if (ack.acked_bytes == 0) return;
  if (window_.slow_start()) {
    grow_slow_start(ack);
  } else {
    std::visit([&](auto& a) { a.avoid(window_, ack); }, algorithm_);
  }
}

uint64_t Congestion::reduce(Instant now, uint64_t flight) noexcept {
  if (options_.idle == CongestionOptions::Idle::validate) {
    flight = validation_.loss_base(window_, flight);
    validation_.reset();  // RFC 7661 §4.4.1: the samples from before are no measure of what is left
  }
  // What is outstanding may exceed the window if it was reduced before; the window is what counts.
  flight = std::min(flight, window_.cwnd);
  // RFC 9438 §4.6 allows the window itself where it does not grow unused (on_ack sees to that).
  // While slow start runs, what is in flight lags behind it by up to a half.
  if (std::holds_alternative<Cubic>(algorithm_) &&
      options_.idle != CongestionOptions::Idle::validate) {
    flight = window_.cwnd;
  }
  window_.ssthresh = std::visit([&](auto& a) { return a.reduce(window_, flight); }, algorithm_);
  begin_avoidance(now);
  return window_.ssthresh;
}

uint64_t Congestion::on_loss(Instant now, uint64_t flight) noexcept {
  reduce(now, flight);
  // RFC 5681 §3.2 step 6, RFC 9438 §4.6: the window after recovery.
  window_.cwnd = std::min(window_.ssthresh, window_.max);
  after_timeout_ = false;
  return window_.ssthresh;
}

uint64_t Congestion::on_ecn(Instant now, uint64_t flight) noexcept { return on_loss(now, flight); }

void Congestion::on_rto(Instant now, uint64_t flight, bool first) noexcept {
  // RFC 5681 §3.1: ssthresh is held if the same segment times out again.
  if (first) reduce(now, flight);
  std::visit([](auto& a) { a.on_timeout(); }, algorithm_);
  window_.cwnd = window_.mss;  // RFC 5681 §3.1: the loss window is one segment
  first_slow_start_ = false;
  after_timeout_ = true;
}

void Congestion::on_recovered(Instant now) noexcept {
  // After fast recovery cwnd is ssthresh already; after a timeout slow start goes on.
  if (!window_.slow_start()) begin_avoidance(now);
}

void Congestion::on_idle(Instant now, Instant last_sent, Duration rto) noexcept {
  if (now <= last_sent || now - last_sent < rto) return;
  std::visit([&](auto& a) { a.on_app_limited(last_sent); }, algorithm_);
  if (options_.idle == CongestionOptions::Idle::validate) {
    if (resumed_) decay_silence(now - last_sent);
    resumed_ = false;
    validation_.decay(window_, now);
    return;
  }
  // RFC 5681 §4.1: the restart window is min(IW, cwnd); ssthresh remembers what the path carried.
  const uint64_t restart = std::min(initial_window(window_.mss), window_.cwnd);
  if (restart == window_.cwnd) return;
  if (window_.ssthresh < Window::kUnlimited) {
    window_.ssthresh = std::max(window_.ssthresh, 3 * window_.cwnd / 4);
  }
  window_.cwnd = restart;
}

void Congestion::undo(const Saved& saved) noexcept {
  window_.cwnd = std::min(std::max(window_.cwnd, saved.window.cwnd), window_.max);
  window_.ssthresh = std::max(window_.ssthresh, saved.window.ssthresh);
  algorithm_ = saved.algorithm;
  after_timeout_ = false;
}

}  // namespace paste::tcp
