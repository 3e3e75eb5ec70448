// Loss recovery for a peer without SACK: RFC 5681 fast retransmit, RFC 6582 NewReno, and RFC 3042
// limited transmit.
#pragma once

#include <cstdint>

#include "tcp/seq.h"

namespace paste::tcp {

// Counts duplicate acknowledgements and says what to do; the window's size after recovery is
// Congestion's, its inflation during recovery is counted here. Bytes.
class NewReno {
 public:
  enum class Action : uint8_t {
    none,
    limited,     // RFC 3042: send up to limited_bytes() of new data beyond the window
    retransmit,  // enter recovery: Congestion::on_loss, then send the first segment again
    inflate,     // in recovery: the window grew by a segment; send if it allows
    partial,     // a partial acknowledgement: send the first segment again
    recovered,   // recovery is over: the window is min(ssthresh, max(flight, mss) + mss)
  };
  static constexpr uint32_t kDupThresh = 3;

  // `first` is the initial send sequence number. (RFC 6582 §3.2 step 1)
  explicit NewReno(Seq first, uint32_t mss) noexcept : recover_(first), mss_(mss) {}

  // A duplicate acknowledgement (RFC 5681 §2); `nxt` is the next new sequence number.
  [[nodiscard]] Action on_duplicate(Seq una, Seq nxt) noexcept;
  // SND.UNA advanced from `una_before` to `una`.
  [[nodiscard]] Action on_new_ack(Seq una_before, Seq una) noexcept;
  // RFC 6582 §3.2 step 6: after a timeout.
  void on_timeout(Seq nxt) noexcept;
  // To be called on `retransmit` with what Congestion::on_loss returned.
  void set_ssthresh(uint64_t ssthresh) noexcept {
    window_ = ssthresh + uint64_t{kDupThresh} * mss_;  // RFC 5681 §3.2 step 3
  }

  [[nodiscard]] bool in_recovery() const noexcept { return in_recovery_; }
  // The inflated window. REQUIRES: in_recovery().
  [[nodiscard]] uint64_t window() const noexcept { return window_; }
  // RFC 3042 §2: one segment for each of the first two duplicates, beyond cwnd.
  [[nodiscard]] uint64_t limited_bytes() const noexcept {
    return in_recovery_ || duplicates_ >= kDupThresh ? 0 : uint64_t{duplicates_} * mss_;
  }
  // RFC 6582 §4: the timer is restarted for the first partial acknowledgement only. True if the
  // last `partial` was the first of its recovery.
  [[nodiscard]] bool first_partial() const noexcept { return partials_ == 1; }
  [[nodiscard]] uint32_t duplicates() const noexcept { return duplicates_; }

 private:
  Seq recover_;
  uint32_t mss_;
  uint32_t duplicates_ = 0;
  uint32_t partials_ = 0;
  uint64_t window_ = 0;
  bool in_recovery_ = false;
  bool recover_is_set_ = false;  // `recover_` is meaningful until it is acknowledged
};

}  // namespace paste::tcp
