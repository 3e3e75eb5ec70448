// RFC 9406 HyStart++: leave the first slow start when the round trips grow, before losses tell.
#pragma once

#include <cstdint>

#include "paste/units.h"
#include "tcp/seq.h"

namespace paste::tcp {

class HyStart {
 public:
  // How fast slow start may grow after an acknowledgement.
  enum class Growth : uint8_t {
    full,     // slow start
    divided,  // conservative slow start: a CSS_GROWTH_DIVISOR-th
    leave,    // enter congestion avoidance now: ssthresh = cwnd
  };
  static constexpr uint32_t kRttSamples = 8;                                   // N_RTT_SAMPLE
  static constexpr Duration kRttThresholdMin = std::chrono::milliseconds(4);   // MIN_RTT_THRESH
  static constexpr Duration kRttThresholdMax = std::chrono::milliseconds(16);  // MAX_RTT_THRESH
  static constexpr int64_t kRttDivisor = 8;                                    // MIN_RTT_DIVISOR
  static constexpr uint32_t kCssDivisor = 4;                                   // CSS_GROWTH_DIVISOR
  static constexpr uint32_t kCssRounds = 5;                                    // CSS_ROUNDS

  // One acknowledgement in slow start; `rtt` 0 is "no sample", `nxt` is the next new sequence
  // number. To be called before new data is sent in response.
  [[nodiscard]] Growth on_ack(Seq una, Seq nxt, Duration rtt) noexcept;

  [[nodiscard]] bool conservative() const noexcept { return css_baseline_ != Duration::max(); }

 private:
  void begin_round(Seq nxt) noexcept;

  Duration last_min_ = Duration::max();
  Duration current_min_ = Duration::max();
  Duration css_baseline_ = Duration::max();
  Seq window_end_{};
  uint32_t samples_ = 0;
  uint32_t css_rounds_ = 0;
  bool started_ = false;
};

}  // namespace paste::tcp
