// When to acknowledge: now, or a little later together with the next segment.
#pragma once

#include <cstdint>

#include "paste/units.h"
#include "tcp/instant.h"

namespace paste::tcp {

struct AckConfig {
  Duration delay = std::chrono::milliseconds(40);  // cut to 499 ms (RFC 9293 MUST-40)
  uint8_t quick_acks = 16;  // segments acknowledged at once at the start, while the peer's
                            // window is small and an acknowledgement clocks its slow start
};

// What one segment was, as far as its acknowledgement is concerned.
struct Arrival {
  uint32_t payload = 0;       // bytes of new data
  bool out_of_order = false;  // above a gap, or received before
  bool fills_gap = false;     // data was waiting above it
  bool fin = false;
  bool ce = false;   // the IP header said Congestion Experienced
  bool cwr = false;  // the TCP header said CWR
};

// The caller asks should_ack_now() only after all segments that have arrived were noted
// (RFC 9293 MUST-58, RFC 9293 MUST-59): one acknowledgement then stands for all of them.
class AckPolicy {
 public:
  // `mss`: the largest payload the peer may send.
  AckPolicy(AckConfig config, uint16_t mss) noexcept;

  void on_segment(Instant now, const Arrival& arrival) noexcept;
  // A segment must be answered whatever it was (unacceptable, keep-alive probe, window probe).
  void require_now() noexcept { now_ = true; }
  // A window update is worth a segment of its own (ReceiveWindow says so).
  void on_window_update_needed() noexcept { now_ = true; }
  // Any segment with ACK went out.
  void on_ack_sent() noexcept;

  [[nodiscard]] bool should_ack_now() const noexcept { return now_; }
  // At or after deadline() an acknowledgement is due; kNever if none is owed.
  [[nodiscard]] Instant deadline() const noexcept { return deadline_; }
  [[nodiscard]] bool owed() const noexcept { return now_ || deadline_ != kNever; }
  // RFC 3168 §6.1.3: segments carry ECE from a CE mark on until the sender answers with CWR.
  [[nodiscard]] bool ece() const noexcept { return ece_; }
  // A pause in the data makes the peer start slowly again: acknowledge at once again, too.
  void restart_quick_acks() noexcept { quick_ = config_.quick_acks; }

 private:
  AckConfig config_;
  Instant deadline_ = kNever;
  uint32_t unacked_ = 0;      // bytes of new data since the last acknowledgement
  uint16_t full_size_ = 536;  // the largest segment seen: peers may use less than our MSS
  uint16_t mss_;
  uint8_t quick_;
  bool now_ = false;
  bool ece_ = false;
  bool last_ce_ = false;
};

}  // namespace paste::tcp
