// Sender: what an acknowledgement means.
#include <algorithm>

#include "tcp/sender.h"

namespace paste::tcp {

struct Sender::Delivery {
  Scoreboard::Delivered delivered;
  std::optional<SeqRange> dsack;
  Seq una_before;
  uint32_t flight_before = 0;
  uint32_t sacked_before = 0;
  uint32_t pipe_before = 0;
  Duration rtt{-1};  // of the newest segment sent once; negative: none
  bool original_delivered = false;
  bool any_retransmitted = false;  // of what it delivered
  bool above_recovery_point = false;
  uint32_t lost = 0;  // records found lost
  [[nodiscard]] bool advanced(Seq una) const noexcept { return una != una_before; }
};

Sender::Delivery Sender::deliver(const Ack& ack, Instant now, SliceSink& sink) {
  Delivery d;
  d.una_before = state_.una;
  d.flight_before = flight();
  d.sacked_before = board_.sacked_bytes();
  d.pipe_before = board_.pipe();
  if (state_.sack) d.dsack = find_dsack(ack.blocks, ack.ack);
  const std::span<const SeqRange> blocks = !state_.sack ? std::span<const SeqRange>{}
                                           : d.dsack    ? ack.blocks.subspan(1)
                                                        : ack.blocks;
  Instant newest{};
  d.delivered = board_.on_ack(ack.ack, state_.nxt, blocks, [&](const SentRecord& record) {
    rack_.on_delivered(record, now, state_.rtt.min_rtt());
    if (record.retransmitted()) {
      d.any_retransmitted = true;
    } else {
      d.original_delivered = true;
      note_size(record.length);
      // RFC 6298 §3 (Karn): only what was sent once tells the round-trip time.
      if (record.last_sent >= newest) {
        newest = record.last_sent;
        d.rtt = now - record.last_sent;
      }
    }
    if (frto_.active() && record.begin >= frto_.recovery_point()) d.above_recovery_point = true;
  });
  state_.una = ack.ack;
  queue_.acknowledge(state_.una,
                     [&](Slice slice, uint64_t cookie) { sink.acknowledged(slice, cookie); });
  return d;
}

void Sender::sample_rtt(const Ack& ack, const Delivery& d, Instant now) noexcept {
  // RFC 6298 §3 (Karn): what waited behind a retransmitted segment measures the repair. An echo
  // tells which copy arrived; RFC 7323 §4.1: it counts only with an ACK that advances the window.
  Duration rtt = d.any_retransmitted ? Duration(-1) : d.rtt;
  if (rtt.count() < 0 && d.advanced(state_.una)) rtt = ack.echo_rtt;
  if (rtt.count() >= 0) {
    state_.rtt.on_sample({.rtt = rtt, .expected = expected_samples(d.flight_before, state_.mss)},
                         now);
  } else if (d.advanced(state_.una) && d.original_delivered) {
    state_.rtt.on_new_ack();
  }
}

void Sender::enter_recovery(const Delivery& d, Instant now) {
  saved_ = congestion_.save();
  const uint64_t ssthresh = congestion_.on_loss(now, d.flight_before);
  prr_.enter({.flight = d.flight_before,
              .sacked = d.sacked_before,
              .ssthresh = ssthresh,
              .mss = state_.mss});
  newreno_.set_ssthresh(ssthresh);
  recover_ = state_.nxt;
  phase_ = Phase::recovery;
  probe_at_ = kNever;
  probe_.reset();
  ++counters_.recoveries;
}

void Sender::detect_by_time(const Ack& ack, const Delivery& d, Instant now) {
  const bool dsack_counts = d.dsack && !probe_.outstanding();
  rack_.on_ack({.una = state_.una,
                .nxt = state_.nxt,
                .dsack = dsack_counts,
                .in_recovery = phase_ != Phase::open,
                .min_rtt = state_.rtt.min_rtt(),
                .srtt = state_.rtt.srtt()},
               board_);
  const bool duplicate = !ack.has_data && !d.advanced(state_.una) && d.flight_before > 0;
  if (probe_.on_ack({.ack = state_.una,
                     .has_sack_blocks = !ack.blocks.empty(),
                     .duplicate = duplicate,
                     .dsack = d.dsack})) {
    // RFC 8985 §7.4.2: the probe filled a hole: the loss is answered as any other.
    congestion_.on_loss(now, d.flight_before);
    congestion_.on_recovered(now);
  }
  const Rack::Detected detected = rack_.detect_losses(board_, now);
  reorder_at_ = detected.deadline;
  if (detected.lost > 0 && phase_ == Phase::open) enter_recovery(d, now);
  if (phase_ == Phase::recovery) {
    const bool safe = d.advanced(state_.una) && detected.lost == 0;
    prr_budget_ =
        prr_.on_ack({.delivered = d.delivered.bytes, .pipe = board_.pipe(), .safe = safe});
  }
}

void Sender::detect_by_duplicates(const Ack& ack, const Delivery& d, Instant now) {
  using Action = NewReno::Action;
  Action action = Action::none;
  if (d.advanced(state_.una)) {
    action = newreno_.on_new_ack(d.una_before, state_.una);
  } else if (!ack.has_data && d.flight_before > 0 && ack.window == state_.window &&
             ack.window != 0) {  // answers to probes of a closed window are no sign of loss
    action = newreno_.on_duplicate(state_.una, state_.nxt);  // RFC 5681 §2
  }
  switch (action) {
    case Action::retransmit:
      enter_recovery(d, now);
      board_.mark_lost(0);
      break;
    case Action::partial:
      if (!board_.empty() && phase_ == Phase::recovery) board_.mark_lost(0);
      break;
    case Action::none:
    case Action::limited:
    case Action::inflate:
    case Action::recovered:
      break;
  }
}

void Sender::undo(Instant now) noexcept {
  if (saved_) congestion_.undo(*saved_);
  saved_.reset();
  ++counters_.spurious;
  phase_ = Phase::open;
  congestion_.on_recovered(now);
}

// Nothing that was outstanding before the timeout is on its way any more.
void Sender::mark_rest_lost() noexcept {
  for (uint32_t i = 0; i < board_.size() && board_[i].begin < recover_; ++i) {
    if (!board_[i].sacked && !board_[i].retransmitted()) board_.mark_lost(i);
  }
}

void Sender::judge_timeout(const Ack&, const Delivery& d, Instant now) {
  const Frto::Verdict verdict = frto_.on_ack({.una_before = d.una_before,
                                              .una = state_.una,
                                              .newly_sacked = d.delivered.sacked_bytes > 0,
                                              .original_delivered = d.original_delivered,
                                              .above_recovery_point = d.above_recovery_point});
  switch (verdict) {
    case Frto::Verdict::spurious:
      undo(now);
      break;
    case Frto::Verdict::genuine:
      mark_rest_lost();
      break;
    case Frto::Verdict::send_new:
      if (unsent() == 0 || state_.window <= flight()) {
        frto_.on_no_new_data();
        mark_rest_lost();
      }
      break;
    case Frto::Verdict::inactive:
    case Frto::Verdict::undecided:
      break;
  }
}

bool Sender::answer_congestion_mark(const Ack& ack, const Delivery& d, Instant now) noexcept {
  // RFC 3168 §6.1.2: as a loss, but once in a round trip, and never with a loss's own reduction.
  if (!state_.ecn || !ack.ece || phase_ != Phase::open || state_.una < ecn_recover_) return false;
  congestion_.on_ecn(now, d.flight_before);  // what made the mark, not what is left of it
  ++counters_.congestion_marks;
  ecn_recover_ = state_.nxt;
  cwr_due_ = true;
  return true;
}

void Sender::finish_recovery(Instant now) {
  if (phase_ == Phase::open || state_.una < recover_) return;
  congestion_.on_recovered(now);
  board_.on_recovered();
  if (phase_ == Phase::recovery) rack_.on_recovery_ended();
  phase_ = Phase::open;
  prr_budget_ = 0;
  saved_.reset();
}

void Sender::grow_window(const Delivery& d, Instant now) noexcept {
  if (!d.advanced(state_.una)) return;
  congestion_.on_ack({.now = now,
                      .acked_bytes = d.delivered.acked_bytes,
                      .rtt = std::max(d.rtt, Duration(0)),
                      .srtt = state_.rtt.srtt(),
                      .una = state_.una,
                      .nxt = state_.nxt,
                      .in_recovery = phase_ == Phase::recovery,
                      .cwnd_limited = cwnd_limited_ || phase_ == Phase::loss});
}

void Sender::restart_timers(Instant now) noexcept {
  if (state_.una == state_.nxt) {
    rto_at_ = reorder_at_ = probe_at_ = kNever;  // RFC 6298 §5.2
    probe_.reset();
    return;
  }
  rto_at_ = now + state_.rtt.rto();  // RFC 6298 §5.3
  start_tail_timer(now);
}

bool Sender::take_plain_ack(const Ack& ack, Instant now, SliceSink& sink) {
  const bool plain = options_.short_ways && phase_ == Phase::open && state_.sack &&
                     ack.blocks.empty() && !ack.ece && board_.sacked_records() == 0 &&
                     board_.lost_bytes() == 0 && !frto_.active() && !probe_.outstanding() &&
                     reorder_at_ == kNever && state_.window != 0 && ack.window != 0;
  if (!plain) return false;
  if (ack.ack != state_.una) {
    const uint32_t records = board_.plain_prefix(ack.ack);
    if (records == 0) return false;
    const SentRecord last = board_[records - 1];
    note_size(last.length);
    const uint32_t flight_before = flight();
    const uint32_t acked = ack.ack.value - state_.una.value;
    board_.drop_plain(records, ack.ack);
    rack_.on_delivered(last, now, state_.rtt.min_rtt());
    state_.una = ack.ack;
    queue_.acknowledge(state_.una,
                       [&](Slice slice, uint64_t cookie) { sink.acknowledged(slice, cookie); });
    const Duration rtt = now - last.last_sent;
    state_.rtt.on_sample({.rtt = rtt, .expected = expected_samples(flight_before, state_.mss)},
                         now);
    congestion_.on_ack({.now = now,
                        .acked_bytes = acked,
                        .rtt = rtt,
                        .srtt = state_.rtt.srtt(),
                        .una = state_.una,
                        .nxt = state_.nxt,
                        .in_recovery = false,
                        .cwnd_limited = cwnd_limited_});
    last_progress_ = now;
    timeouts_in_row_ = 0;
    restart_timers(now);
  }
  state_.update_window(ack.seq, ack.ack, ack.window);
  persist_at_ = kNever;
  persist_backoff_ = 0;
  arm_persist(now);
  return true;
}

void Sender::on_ack(const Ack& ack, Instant now, SliceSink& sink) {
  const bool window_was_zero = state_.window == 0;
  const Delivery d = deliver(ack, now, sink);
  if (!state_.sack) detect_by_duplicates(ack, d, now);
  state_.update_window(ack.seq, ack.ack, ack.window);
  sample_rtt(ack, d, now);
  if (frto_.active()) judge_timeout(ack, d, now);
  if (state_.sack) detect_by_time(ack, d, now);
  // RFC 3168 §6.1.2: an acknowledgement with the echo does not make the window grow.
  if (!answer_congestion_mark(ack, d, now)) grow_window(d, now);
  finish_recovery(now);
  if (d.advanced(state_.una)) {
    last_progress_ = now;
    timeouts_in_row_ = 0;
    restart_timers(now);
  }
  if (state_.window > 0) {
    if (window_was_zero && !board_.empty() && persist_at_ != kNever) {
      if (board_.reneged()) board_.forget_sacks();  // RFC 2018 §8
      board_.mark_lost(0);  // the probe's octet, which the closed window refused
    }
    persist_at_ = kNever;
    persist_backoff_ = 0;
  } else {
    last_progress_ = now;  // RFC 9293 §3.8.6.1 (MUST-37): it answers, so it lives
  }
  arm_persist(now);
}

}  // namespace paste::tcp
