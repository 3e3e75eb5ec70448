// RFC 5682: was the retransmission timeout spurious? The SACK-enhanced form of §3.
#pragma once

#include <cstdint>

#include "tcp/seq.h"

namespace paste::tcp {

class Frto {
 public:
  enum class Verdict : uint8_t {
    inactive,   // not running: ordinary recovery
    undecided,  // wait for the next acknowledgement; retransmit nothing meanwhile
    send_new,   // undecided: send up to two segments of new data now, and call on_no_new_data if
                // there are none
    spurious,   // nothing was lost: undo the reduction, go on with new data
    genuine,    // go on with ordinary recovery
  };

  // The timer expired and the first segment is being sent again. `nxt` is the highest sequence
  // number sent, `again` that an earlier timeout's recovery is not over.
  void on_timeout(Seq una, Seq nxt, bool again) noexcept;

  struct Ack {
    Seq una_before{};
    Seq una{};
    // Scoreboard::Delivered::sacked_bytes > 0.
    bool newly_sacked = false;
    // A segment that was never sent again is acknowledged or sacked by it for the first time.
    bool original_delivered = false;
    // Data above what was sent before the timeout is acknowledged or sacked for the first time.
    bool above_recovery_point = false;
  };
  [[nodiscard]] Verdict on_ack(const Ack& ack) noexcept;
  // RFC 5682 §3.1 step 2b: no new data to send, or no window for it: the algorithm cannot go on.
  void on_no_new_data() noexcept { state_ = State::idle; }

  [[nodiscard]] bool active() const noexcept { return state_ != State::idle; }
  // RecoveryPoint. REQUIRES: active().
  [[nodiscard]] Seq recovery_point() const noexcept { return recovery_point_; }

 private:
  enum class State : uint8_t {
    idle,
    first,   // step 2: until the retransmission is acknowledged
    second,  // step 3: after the new data
  };
  Verdict end(Verdict verdict) noexcept {
    state_ = State::idle;
    return verdict;
  }

  Seq recovery_point_{};
  State state_ = State::idle;
};

}  // namespace paste::tcp
