// What every congestion control works on: the window, and what an acknowledgement told.
#pragma once

#include <algorithm>
#include <cstdint>

#include "paste/units.h"
#include "tcp/instant.h"
#include "tcp/seq.h"

namespace paste::tcp {

// Invariants: 1 × mss ≤ cwnd ≤ max; ssthresh ≥ 2 × mss. Bytes.
struct Window {
  // RFC 5681 §3.1: the first slow start threshold is as high as can be.
  static constexpr uint64_t kUnlimited = uint64_t{1} << 30;  // what window scaling can express

  uint64_t cwnd = 0;
  uint64_t ssthresh = kUnlimited;
  uint64_t max = kUnlimited;
  uint32_t mss = 0;  // sender's maximum segment size, options excluded; 1 … 65535

  // RFC 5681 §3.1: at equality the sender may choose; we avoid congestion.
  [[nodiscard]] bool slow_start() const noexcept { return cwnd < ssthresh; }
  void grow(uint64_t bytes) noexcept { cwnd = std::min(cwnd + bytes, max); }
};

// RFC 6928 §2: min(10 × MSS, max(2 × MSS, 14600)).
[[nodiscard]] constexpr uint64_t initial_window(uint32_t mss) noexcept {
  return std::min<uint64_t>(uint64_t{10} * mss, std::max<uint64_t>(uint64_t{2} * mss, 14600));
}

// One acknowledgement of new data (cumulative, or in recovery also selective).
struct AckEvent {
  Instant now{};
  uint64_t acked_bytes = 0;  // newly acknowledged cumulatively
  Duration rtt{0};           // of this acknowledgement; 0: it gave no sample
  Duration srtt{0};          // 0: not yet measured
  Seq una{};                 // after this acknowledgement
  Seq nxt{};                 // the next new sequence number
  // RFC 5681 §3.2: from the entry of loss recovery until its end the window is not grown here.
  bool in_recovery = false;
  // The window, not the application or the peer, limited what was sent in the last round trip.
  bool cwnd_limited = true;
};

}  // namespace paste::tcp
