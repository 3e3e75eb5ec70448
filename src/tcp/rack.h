// RFC 8985: losses found by time (RACK), and the probe that makes tail losses visible (TLP).
#pragma once

#include <cstdint>
#include <optional>

#include "tcp/instant.h"
#include "tcp/scoreboard.h"
#include "tcp/seq.h"

namespace paste::tcp {

// The calls for one acknowledgement, in this order: on_delivered for each record that the
// scoreboard's on_ack visits, on_ack, detect_losses. Names are those of RFC 8985 §5.
class Rack {
 public:
  // A record was acknowledged or sacked. `echoed_before_retransmission`: the timestamp echo shows
  // that the original, not the retransmission, is acknowledged. `min_rtt` 0: not yet known.
  void on_delivered(const SentRecord& record, Instant now, Duration min_rtt,
                    bool echoed_before_retransmission = false) noexcept;

  struct Ack {
    Seq una{};
    Seq nxt{};
    bool dsack = false;        // it reported a duplicate that no probe explains
    bool in_recovery = false;  // fast or timeout recovery goes on after it
    Duration min_rtt{0};
    Duration srtt{0};
  };
  // Adapts the reordering window. To be called before on_ack's caller detects losses.
  void on_ack(const Ack& ack, const Scoreboard& scoreboard) noexcept;
  // RFC 8985 §6.2 step 4: a recovery has ended.
  void on_recovery_ended() noexcept;

  struct Detected {
    uint32_t lost = 0;          // records newly marked lost
    Instant deadline = kNever;  // when to call again: the reordering timer
  };
  // RFC 8985 §6.2 step 5: marks the records that should have been delivered by now.
  // O(records sent before the newest delivered one).
  Detected detect_losses(Scoreboard& scoreboard, Instant now) const noexcept;
  // RFC 8985 §6.3: the retransmission timer expired: marks the first record, and those whose time
  // is over, lost. Returns how many.
  uint32_t mark_losses_on_rto(Scoreboard& scoreboard, Instant now) const noexcept;

  [[nodiscard]] Duration rtt() const noexcept { return rtt_; }
  [[nodiscard]] Duration reordering_window() const noexcept { return reo_wnd_; }
  [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }

 private:
  static constexpr uint32_t kPersist = 16;  // RFC 8985 §6.2 step 4: recoveries without D-SACK
  static constexpr uint32_t kMultiplierMax = 255;

  // RFC 8985 §6.2 step 2: was the newest delivered segment sent after this one?
  [[nodiscard]] bool newest_sent_after(const SentRecord& record) const noexcept;

  Instant xmit_ts_{};  // of the newest segment that was delivered
  Seq end_seq_{};
  Seq fack_{};  // the highest sequence delivered
  Duration rtt_{0};
  Duration reo_wnd_{0};
  std::optional<Seq> dsack_round_;
  uint32_t multiplier_ = 1;
  uint32_t persist_ = kPersist;
  bool any_delivered_ = false;
  bool reordering_seen_ = false;
};

// RFC 8985 §7.
class TailLossProbe {
 public:
  // RFC 8985 §7.2: the receiver may hold back its acknowledgement so long.
  static constexpr Duration kMaxAckDelay = std::chrono::milliseconds(200);
  static constexpr Duration kUnmeasuredTimeout = std::chrono::seconds(1);

  struct Timing {
    Instant now{};
    Duration srtt{0};  // 0: not yet measured
    bool one_segment_in_flight = false;
    Duration max_ack_delay = kMaxAckDelay;
    Instant rto_expires = kNever;
  };
  // RFC 8985 §7.2 TLP_calc_PTO: when to probe, never after the retransmission timer.
  [[nodiscard]] static Instant deadline(const Timing& timing) noexcept;

  // RFC 8985 §7.3: a probe was sent, which ends at `end`; `is_retransmission`: it carried no new
  // data.
  void on_probe_sent(Seq end, bool is_retransmission) noexcept;
  // RFC 8985 §7.3: only one probe is outstanding at a time.
  [[nodiscard]] bool outstanding() const noexcept { return end_seq_.has_value(); }

  struct Ack {
    Seq ack{};
    bool has_sack_blocks = false;
    bool duplicate = false;  // RFC 5681 §2: carries no data, changes nothing, acks nothing new
    std::optional<SeqRange> dsack{};
  };
  // RFC 8985 §7.4 TLP_process_ack: true if the probe repaired a loss, which calls for the
  // congestion response of a fast recovery.
  [[nodiscard]] bool on_ack(const Ack& ack) noexcept;
  void reset() noexcept { end_seq_.reset(); }

 private:
  std::optional<Seq> end_seq_;
  bool is_retrans_ = false;
};

}  // namespace paste::tcp
