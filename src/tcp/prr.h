// RFC 9937 Proportional Rate Reduction: how much to send for each acknowledgement in recovery.
#pragma once

#include <cstdint>

namespace paste::tcp {

// Bytes. Use: enter, then for each acknowledgement on_ack and on_sent for what was sent; when
// recovery is over the window is ssthresh (Congestion has it already).
class Prr {
 public:
  struct Entry {
    uint64_t flight = 0;    // SND.NXT - SND.UNA, before the acknowledgement that starts recovery
    uint64_t sacked = 0;    // of them, sacked before that acknowledgement
    uint64_t ssthresh = 0;  // from Congestion::on_loss
    uint32_t mss = 0;
  };
  // REQUIRES: mss > 0.
  void enter(const Entry& entry) noexcept;

  struct Ack {
    uint64_t delivered = 0;  // newly acknowledged or sacked: Scoreboard::Delivered::bytes
    uint64_t pipe = 0;       // inflight, after the acknowledgement and the losses it revealed
    // SafeACK: SND.UNA advanced and no further loss was found.
    bool safe = false;
  };
  // SndCnt: how many bytes may be sent now. 0 if nothing was delivered, except for the first
  // segment, which is always sent.
  [[nodiscard]] uint64_t on_ack(const Ack& ack) noexcept;
  // RFC 9937 §6.3: bytes were sent, new or again.
  void on_sent(uint64_t bytes) noexcept { out_ += bytes; }

  [[nodiscard]] uint64_t delivered() const noexcept { return delivered_; }
  [[nodiscard]] uint64_t sent() const noexcept { return out_; }

 private:
  uint64_t delivered_ = 0;  // prr_delivered
  uint64_t out_ = 0;        // prr_out
  uint64_t recover_fs_ = 1;
  uint64_t ssthresh_ = 0;
  uint32_t mss_ = 0;
};

}  // namespace paste::tcp
