// Round-trip time: the smoothed estimate, the retransmission timeout, the windowed minimum.
#pragma once

#include <algorithm>
#include <cstdint>

#include "paste/units.h"
#include "tcp/instant.h"

namespace paste::tcp {

struct RttOptions {
  // RFC 6298 §2.4: the floor is 1 s; a data centre may want 200 ms.
  Duration rto_min = std::chrono::seconds(1);
  // RFC 6298 §2.5: a cap is allowed if it is at least 60 s.
  Duration rto_max = std::chrono::seconds(60);
  // RFC 6298 §2.1.
  Duration rto_initial = std::chrono::seconds(1);
  // The minimum is over the last `min_window` to `min_window` / 2.
  Duration min_window = std::chrono::minutes(5);
};

// The minimum over a sliding window, kept as the minima of two half windows: constant space, and a
// sample is forgotten after between half a window and a whole one.
class WindowedMin {
 public:
  // REQUIRES: window > 0 and `now` does not go back.
  void add(Duration value, Instant now, Duration window) noexcept;
  [[nodiscard]] bool empty() const noexcept { return current_ == Duration::max(); }
  // Duration::max() while empty.
  [[nodiscard]] Duration get() const noexcept { return current_ < older_ ? current_ : older_; }

 private:
  Duration current_ = Duration::max();
  Duration older_ = Duration::max();
  Instant rotated_{};
};

struct RttSample {
  Duration rtt{0};
  // RFC 6298 §3 (Karn): set if the acknowledgement covers a segment that was retransmitted and no
  // timestamp option tells which copy it answers. That spoils it for the other segments it covers
  // too: they may have waited at the receiver for the one that was missing.
  bool ambiguous = false;
  // RFC 7323 §4.2: how many samples this round trip is expected to give, see expected_samples().
  uint32_t expected = 1;
};

// RFC 6298, in integers of nanoseconds. Times 0 mean "not yet measured".
class RttEstimator {
 public:
  // RFC 6298 §2.3: the clock granularity G. The engine's clock counts nanoseconds, but the timers
  // that act upon it may be a millisecond late, so G is one millisecond.
  static constexpr Duration kGranularity = std::chrono::milliseconds(1);

  explicit RttEstimator(const RttOptions& options = {}) noexcept
      : base_rto_(options.rto_initial),
        rto_min_us_(microseconds_of(options.rto_min)),
        rto_max_us_(microseconds_of(options.rto_max)),
        min_window_us_(microseconds_of(options.min_window)) {}

  // Takes a measurement and ends the back-off; an ambiguous one is ignored. A sample below 1 ns
  // counts as 1 ns.
  void on_sample(const RttSample& sample, Instant now) noexcept;
  // RFC 6298 §5.5: the timer expired: doubles the timeout up to the cap.
  void on_timeout() noexcept;
  // An acknowledgement of new data arrived that the caller knows not to be ambiguous: the back-off
  // ends even if it gave no sample.
  void on_new_ack() noexcept { backoff_ = 0; }
  // RFC 6298 §5.7: the handshake is complete and its SYN had been retransmitted. Without a sample
  // the timeout is at least 3 s for the data that follows.
  void on_syn_was_retransmitted() noexcept;

  // Within [rto_min, rto_max], back-off included.
  [[nodiscard]] Duration rto() const noexcept;
  [[nodiscard]] bool measured() const noexcept { return srtt_.count() != 0; }
  [[nodiscard]] Duration srtt() const noexcept { return srtt_; }
  [[nodiscard]] Duration rttvar() const noexcept { return rttvar_; }
  [[nodiscard]] Duration latest() const noexcept { return latest_; }
  // 0 before the first sample.
  [[nodiscard]] Duration min_rtt() const noexcept {
    return min_.empty() ? Duration(0) : min_.get();
  }
  // How often the timeout was doubled since the last new acknowledgement.
  [[nodiscard]] uint32_t backoff() const noexcept { return backoff_; }

 private:
  // 32 bits hold more than an hour, and there are many connections.
  [[nodiscard]] static uint32_t microseconds_of(Duration d) noexcept {
    return static_cast<uint32_t>(std::clamp<int64_t>(d.count() / 1000, 0, UINT32_MAX));
  }
  [[nodiscard]] Duration rto_max() const noexcept { return std::chrono::microseconds(rto_max_us_); }

  Duration base_rto_;
  Duration srtt_{0};
  Duration rttvar_{0};
  Duration latest_{0};
  WindowedMin min_;
  uint32_t backoff_ = 0;
  uint32_t rto_min_us_;
  uint32_t rto_max_us_;
  uint32_t min_window_us_;
};

// RFC 7323 Appendix G: ceiling(FlightSize / (SMSS × 2)), at least 1; the 2 stands for delayed
// acknowledgements. REQUIRES: mss > 0.
[[nodiscard]] constexpr uint32_t expected_samples(uint64_t flight, uint32_t mss) noexcept {
  const uint64_t per_sample = uint64_t{mss} * 2;
  const uint64_t n = (flight + per_sample - 1) / per_sample;
  return n == 0 ? 1 : static_cast<uint32_t>(n);
}

}  // namespace paste::tcp
