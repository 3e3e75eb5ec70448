// Congestion control: the window and the hooks by which the sender reports what happened.
#pragma once

#include <cstdint>
#include <variant>

#include "tcp/cubic.h"
#include "tcp/hystart.h"
#include "tcp/reno.h"
#include "tcp/window.h"
#include "tcp/window_validation.h"

namespace paste::tcp {

struct CongestionOptions {
  enum class Algorithm : uint8_t { cubic, reno };
  enum class Idle : uint8_t {
    restart,   // RFC 5681 §4.1: after a pause of an RTO start again from the initial window
    validate,  // RFC 7661: keep the window for five minutes, then decay
  };
  Algorithm algorithm = Algorithm::cubic;
  Idle idle = Idle::restart;
  bool hystart = true;
  // RFC 3465 §2.2: slow start grows by at most L segments for one acknowledgement.
  // RFC 9406 §4.3: no limit for a sender that spreads its bursts, as ours does (Pacing): receivers
  // that gather segments acknowledge many at once, and a limit would make the growth linear.
  uint32_t slow_start_limit = UINT32_MAX;
  uint64_t window_max = Window::kUnlimited;
};

// What is kept of it while a connection is silent. 12 bytes.
struct ParkedWindow {
  uint32_t cwnd = 0;  // 0: the connection has not sent yet
  uint32_t ssthresh = Window::kUnlimited;
  uint32_t w_max = 0;  // of CUBIC
};

// One per connection; not thread-safe; about 250 bytes, no heap.
// While the sender repairs losses (between on_loss and on_recovered) it sends what PRR or NewReno
// allow; cwnd() is then the window to which recovery converges.
class Congestion {
 public:
  // RFC 6928 §2: starts with the initial window. REQUIRES: 1 ≤ mss ≤ 65535.
  Congestion(const CongestionOptions& options, uint32_t mss) noexcept;

  [[nodiscard]] uint64_t cwnd() const noexcept { return window_.cwnd; }
  [[nodiscard]] uint64_t ssthresh() const noexcept { return window_.ssthresh; }
  [[nodiscard]] uint32_t mss() const noexcept { return window_.mss; }
  [[nodiscard]] bool slow_start() const noexcept { return window_.slow_start(); }

  [[nodiscard]] ParkedWindow park() const noexcept;
  // Goes on from what was parked; on_idle() then judges the pause.
  void resume(const ParkedWindow& parked) noexcept;
  // Path MTU discovery changed the segment size. RFC 1191 §6.4: the window, in bytes, stays.
  void set_mss(uint32_t mss) noexcept;

  // New data was acknowledged.
  void on_ack(const AckEvent& ack) noexcept;
  // Fast recovery begins with `flight` bytes outstanding (what limited transmit sent excluded).
  // Returns the new ssthresh; cwnd is set to it.
  uint64_t on_loss(Instant now, uint64_t flight) noexcept;
  // RFC 3168 §6.1.2: the peer echoed a congestion mark; reacts as to a loss, once in a round trip,
  // which the caller sees to. Returns the new ssthresh.
  uint64_t on_ecn(Instant now, uint64_t flight) noexcept;
  // The retransmission timer expired. `first` is false if the same segment had timed out before.
  void on_rto(Instant now, uint64_t flight, bool first) noexcept;
  // All that was outstanding when recovery began is acknowledged.
  void on_recovered(Instant now) noexcept;
  // The sender is about to send; it last did at `last_sent`. No effect if that is less than `rto`
  // ago.
  void on_idle(Instant now, Instant last_sent, Duration rto) noexcept;

  // All that a reduction changes. Saved before on_loss or on_rto, restored if the loss turns out
  // not to have been one.
  struct Saved {
    Window window;
    std::variant<Cubic, Reno> algorithm;
  };
  [[nodiscard]] Saved save() const noexcept { return {window_, algorithm_}; }
  // RFC 9438 §4.9, RFC 4015 §3.2: F-RTO, Eifel or D-SACK found the loss spurious. The window does
  // not shrink by this.
  void undo(const Saved& saved) noexcept;

  [[nodiscard]] const std::variant<Cubic, Reno>& algorithm() const noexcept { return algorithm_; }

 private:
  void grow_slow_start(const AckEvent& ack) noexcept;
  uint64_t reduce(Instant now, uint64_t flight) noexcept;
  void begin_avoidance(Instant now) noexcept;
  void decay_silence(Duration silent) noexcept;

  CongestionOptions options_;
  Window window_;
  std::variant<Cubic, Reno> algorithm_;
  HyStart hystart_;
  WindowValidation validation_;
  bool first_slow_start_ = true;  // RFC 9406 §4.3: HyStart++ is for the initial slow start
  bool after_timeout_ = false;
  bool resumed_ = false;
};

}  // namespace paste::tcp
