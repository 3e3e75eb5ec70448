// The sending half of a connection: what to send next, and what acknowledgements mean.
//
// It owns the bytes not acknowledged yet and every algorithm that decides when they leave; it
// knows nothing of connection states. SYN is not its business, FIN is: it is the octet behind the
// last byte.
//
// Loss is found by RACK (RFC 8985) if the peer sends SACK, and by duplicate acknowledgements
// (RFC 6582) if not.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "paste/result.h"
#include "tcp/frto.h"
#include "tcp/newreno.h"
#include "tcp/prr.h"
#include "tcp/rack.h"
#include "tcp/scoreboard.h"
#include "tcp/segment.h"
#include "tcp/send_queue.h"
#include "tcp/send_state.h"
#include "tcp/sender_options.h"

namespace paste::tcp {

class Sender {
 public:
  // The allocations of an earlier one, to be used again.
  struct Storage {
    GrowingRing<SendQueue::Entry> slices{1};
    GrowingRing<SentRecord> records{1};
  };
  // Goes on where `state` is; both references must outlive it. An object of a Slab.
  Sender(Storage&& storage, const SenderOptions& options, SendState& state,
         SenderCounters& counters) noexcept;
  [[nodiscard]] Storage take_storage() noexcept;
  // Nothing waits or is in flight.
  [[nodiscard]] bool idle() const noexcept {
    return state_.una == state_.nxt && queue_.empty() && state_.fin_queued == state_.fin_sent;
  }
  // To be called before an idle one ends.
  void retire() noexcept { state_.parked = congestion_.park(); }

  // Queues the bytes; the hold moves here. Errors, with nothing changed: busy, too_large, invalid
  // (SendQueue::append), closed (finish() was called).
  [[nodiscard]] Result<> write(Slice slice, uint64_t cookie);
  // Path MTU discovery found a smaller size (RFC 8201 §4). What is in flight and larger is cut and
  // sent again. REQUIRES: 1 <= mss <= mss().
  void lower_mss(uint32_t mss, Instant now) noexcept;
  // SND.UP is the end of what was written (RFC 9293 §3.10.2).
  void mark_urgent() noexcept {
    state_.urgent = queue_.end();
    state_.urgent_sent = true;
  }
  [[nodiscard]] bool passed_r1() noexcept { return std::exchange(r1_passed_, false); }
  // The oldest segment has timed out and nothing was acknowledged since.
  [[nodiscard]] bool timed_out() const noexcept { return timeouts_in_row_ > 0; }

  struct Ack {
    Seq seq;
    Seq ack;
    uint32_t window = 0;  // bytes, scaled
    std::span<const SeqRange> blocks;
    Duration echo_rtt{-1};  // by timestamps; negative: none
    bool has_data = false;  // it carries payload, SYN or FIN
    bool ece = false;
  };
  // Nothing is lost, suspected, or probed for, and the acknowledgement says no more than that
  // something arrived in order, as nearly all do: does what on_ack() would do, and needs no
  // echo_rtt. False: nothing was done. REQUIRES: una() <= ack.ack <= nxt().
  [[nodiscard]] bool take_plain_ack(const Ack& ack, Instant now, SliceSink& sink);
  // REQUIRES: una() <= ack.ack <= nxt().
  void on_ack(const Ack& ack, Instant now, SliceSink& sink);

  // Decides on the next segment and notes it as sent: fills seq, PSH, FIN, CWR, ECT and the payload
  // of `out`. False if nothing may be sent now. To be called until it is false.
  [[nodiscard]] bool next(Instant now, Outgoing& out);
  // A chance to send begins: something arrived, or time has passed. Each may send one burst.
  void begin_burst() noexcept { pacing_.begin_burst(burst_segments()); }
  // Nothing waits to leave; only an acknowledgement, time or the program can change that.
  [[nodiscard]] bool at_rest() const noexcept {
    return unsent() == 0 && board_.lost_bytes() == 0 && !window_probe_due_ && !tail_probe_due_ &&
           state_.fin_queued == state_.fin_sent;
  }
  // Would next() find something now?
  [[nodiscard]] bool ready(Instant now) const noexcept {
    return plan(now).what != Plan::What::nothing;
  }

  // To be called at or after deadline(). False: the connection has timed out (RFC 9293 §3.8.3).
  [[nodiscard]] bool on_time(Instant now);
  [[nodiscard]] Instant deadline() const noexcept;

  // Gives every slice back.
  void abandon(SliceSink& sink) {
    queue_.abandon([&](Slice slice, uint64_t cookie) { sink.acknowledged(slice, cookie); });
  }

  [[nodiscard]] Seq una() const noexcept { return state_.una; }
  [[nodiscard]] Seq nxt() const noexcept { return state_.nxt; }
  [[nodiscard]] uint32_t unsent() const noexcept {
    return state_.fin_sent ? 0 : static_cast<uint32_t>(queue_.end() - state_.nxt);
  }
  [[nodiscard]] uint32_t flight() const noexcept { return state_.flight(); }
  [[nodiscard]] uint32_t window() const noexcept { return state_.window; }
  [[nodiscard]] uint32_t mss() const noexcept { return state_.mss; }
  [[nodiscard]] bool in_recovery() const noexcept { return phase_ != Phase::open; }
  [[nodiscard]] const Congestion& congestion() const noexcept { return congestion_; }
  [[nodiscard]] const Scoreboard& scoreboard() const noexcept { return board_; }

 private:
  enum class Phase : uint8_t {
    open,
    recovery,  // fast recovery (RFC 6675, RFC 9937, RFC 6582)
    loss,      // after a retransmission timeout
  };
  struct Delivery;  // what one acknowledgement delivered
  struct Plan {
    enum class What : uint8_t { nothing, window_probe, tail_probe, again, fresh };
    What what = What::nothing;
    uint32_t record = 0;  // again: which
    uint32_t length = 0;  // fresh: payload bytes
  };

  Delivery deliver(const Ack& ack, Instant now, SliceSink& sink);
  void sample_rtt(const Ack& ack, const Delivery& delivery, Instant now) noexcept;
  void detect_by_time(const Ack& ack, const Delivery& delivery, Instant now);
  void detect_by_duplicates(const Ack& ack, const Delivery& delivery, Instant now);
  void judge_timeout(const Ack& ack, const Delivery& delivery, Instant now);
  bool answer_congestion_mark(const Ack& ack, const Delivery& delivery, Instant now) noexcept;
  void finish_recovery(Instant now);
  void enter_recovery(const Delivery& delivery, Instant now);
  void grow_window(const Delivery& delivery, Instant now) noexcept;
  void undo(Instant now) noexcept;
  void restart_timers(Instant now) noexcept;
  void on_retransmission_timeout(Instant now);
  void on_window_probe(Instant now) noexcept;

  [[nodiscard]] Plan plan(Instant now) const noexcept;
  [[nodiscard]] uint64_t budget() const noexcept;
  [[nodiscard]] Duration between_bursts() const noexcept;
  [[nodiscard]] uint64_t burst_segments() const noexcept;
  [[nodiscard]] std::optional<uint32_t> lost_record() const noexcept;
  [[nodiscard]] uint32_t new_length() const noexcept;
  [[nodiscard]] uint32_t usable_window() const noexcept {
    return state_.window > flight() ? state_.window - flight() : 0;
  }
  [[nodiscard]] bool send_window_probe(Instant now, Outgoing& out);
  [[nodiscard]] bool send_tail_probe(Instant now, Outgoing& out);
  [[nodiscard]] bool take_back_probe() noexcept;
  void point_to_urgent(Seq seq, Outgoing& out) const noexcept;
  void find_black_hole(Instant now) noexcept;
  [[nodiscard]] bool try_full_size(Instant now) const noexcept;
  void note_size(uint32_t length) noexcept;
  void arm_persist(Instant now) noexcept;
  void start_tail_timer(Instant now) noexcept;
  void mark_rest_lost() noexcept;
  [[nodiscard]] bool send_again(uint32_t record, Instant now, Outgoing& out);
  [[nodiscard]] bool send_new(uint32_t length, Instant now, Outgoing& out);
  uint32_t fill(Seq begin, uint32_t length, Outgoing& out) const noexcept;
  void note_sent(uint32_t bytes, Instant now) noexcept;

  const SenderOptions& options_;
  SendState& state_;
  SenderCounters& counters_;
  SendQueue queue_;
  Scoreboard board_;
  Congestion congestion_;
  Rack rack_;
  TailLossProbe probe_;
  Prr prr_;
  NewReno newreno_;
  Frto frto_;
  Pacing pacing_;
  std::optional<Congestion::Saved> saved_;  // before the reduction that may be undone

  Seq recover_;      // the end of what was sent when recovery began
  Seq ecn_recover_;  // RFC 3168 §6.1.2: one reduction in a round trip
  uint64_t prr_budget_ = 0;
  Instant last_progress_;  // or when something was first sent after nothing was outstanding
  Instant rto_at_ = kNever;
  Instant reorder_at_ = kNever;
  Instant probe_at_ = kNever;
  Instant persist_at_ = kNever;
  uint32_t persist_backoff_ = 0;
  uint32_t timeouts_in_row_ = 0;
  Phase phase_ = Phase::open;
  bool cwr_due_ = false;
  bool r1_passed_ = false;
  bool tail_probe_due_ = false;    // RFC 8985 §7
  bool window_probe_due_ = false;  // RFC 9293 §3.8.6.1
  bool first_again_due_ = false;   // after a timeout, whatever the window allows (RFC 6298 §5.4)
  bool cwnd_limited_ = false;      // in the last round
};

}  // namespace paste::tcp
