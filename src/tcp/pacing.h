// How fast a window may leave: so many segments in one burst, or spread over the round trip.
#pragma once

#include <algorithm>
#include <cstdint>

#include "paste/units.h"
#include "tcp/instant.h"

namespace paste::tcp {

struct PacingOptions {
  uint32_t burst_segments = 10;    // at least
  bool timed = false;              // release by time besides
  uint32_t slow_start_gain = 200;  // per cent of cwnd / srtt: room for the window to double
  uint32_t gain = 120;
};

// RFC 9406 §4.3 asks an unpaced sender to limit its bursts. Without timers that is a number of
// segments for each chance to send; with them a release time for each segment.
class Pacing {
 public:
  explicit Pacing(const PacingOptions& options = {}) noexcept
      : options_(options), burst_limit_(options.burst_segments) {}

  // A chance to send begins, and so many segments are enough for it.
  void begin_burst(uint64_t segments = 0) noexcept {
    sent_in_burst_ = 0;
    burst_limit_ = static_cast<uint32_t>(std::max<uint64_t>(segments, options_.burst_segments));
  }
  // May a segment leave now?
  [[nodiscard]] bool allows(Instant now) const noexcept {
    return sent_in_burst_ < burst_limit_ && (!options_.timed || now >= release_);
  }
  // The burst is over; the next begins with the next chance to send.
  [[nodiscard]] bool burst_over() const noexcept { return sent_in_burst_ >= burst_limit_; }
  // When the next segment may leave by time; in the past if it may now.
  [[nodiscard]] Instant release() const noexcept { return release_; }

  // Time has come to `now`: a release that has passed is no deadline any more.
  void forget_passed(Instant now) noexcept {
    if (release_ <= now) release_ = {};
  }

  struct Rate {
    uint64_t cwnd = 0;
    Duration srtt{0};  // 0: not yet measured, which lets everything leave
    bool slow_start = false;
  };
  void on_sent(uint32_t bytes, Instant now, const Rate& rate) noexcept {
    ++sent_in_burst_;
    if (!options_.timed || rate.srtt.count() <= 0 || rate.cwnd == 0) return;
    // bytes × srtt × 100 / (cwnd × gain); below 2^63 while srtt < 20 s and bytes < 2^16.
    const uint64_t srtt =
        std::min<uint64_t>(static_cast<uint64_t>(rate.srtt.count()), 20'000'000'000);
    const uint32_t gain = rate.slow_start ? options_.slow_start_gain : options_.gain;
    const uint64_t gap = uint64_t{std::min(bytes, 65536U)} * srtt / rate.cwnd * 100 / gain;
    // Time that was not used is not saved up, which would make a burst of it.
    release_ = Instant{std::max(release_.ns, now.ns) + gap};
  }

 private:
  PacingOptions options_;
  Instant release_{};
  uint32_t sent_in_burst_ = 0;
  uint32_t burst_limit_;
};

}  // namespace paste::tcp
