// Sender: what leaves, and the timers.
#include "tcp/sender.h"

#include <algorithm>

#include "base/check.h"

namespace paste::tcp {

SendState::SendState(const SenderOptions& options, const SenderStart& start, Instant now) noexcept
    : rtt(options.rtt),
      last_sent(now),
      una(start.first),
      nxt(start.first),
      window_seq(start.window_seq),
      window_ack(start.window_ack),
      window(start.window),
      max_window(start.window),
      mss(static_cast<uint16_t>(start.mss)),
      mss_full(mss),
      sack(start.sack),
      ecn(start.ecn),
      nagle(options.nagle) {
  if (start.syn_was_retransmitted) {
    rtt.on_syn_was_retransmitted();
    parked.cwnd = start.mss;  // RFC 6928 §2, RFC 5681 §3.1
  } else if (start.handshake_rtt.count() > 0) {
    rtt.on_sample({.rtt = start.handshake_rtt}, now);
  }
}

Sender::Sender(Storage&& storage, const SenderOptions& options, SendState& state,
               SenderCounters& counters) noexcept
    : options_(options),
      state_(state),
      counters_(counters),
      queue_(state.nxt, options.slices_max, std::move(storage.slices)),
      board_(options.records_max, std::move(storage.records)),
      congestion_(options.congestion, state.mss),
      newreno_(state.nxt, state.mss),
      pacing_(options.pacing),
      recover_(state.nxt),
      ecn_recover_(state.nxt),
      last_progress_(state.last_sent) {
  congestion_.resume(state.parked);
}

Sender::Storage Sender::take_storage() noexcept {
  return {queue_.take_storage(), board_.take_storage()};
}

Result<> Sender::write(Slice slice, uint64_t cookie) {
  if (state_.fin_queued) return fail(Code::closed, "the sending direction was closed before");
  return queue_.append(slice, cookie);
}

void Sender::lower_mss(uint32_t mss, Instant now) noexcept {
  PASTE_CHECK(mss >= 1 && mss <= state_.mss);
  state_.mss = static_cast<uint16_t>(mss);
  state_.mss_tried = now;
  congestion_.set_mss(mss);
  // RFC 1191 §6.5, RFC 8201 §5.4: what did not fit is gone; it is no sign of congestion. It leaves
  // again at once, as one segment was let through by the window before.
  bool cut = false;
  for (uint32_t i = 0; i < board_.size(); ++i) {
    if (board_[i].length <= mss || board_[i].sacked) continue;
    board_.mark_lost(i);
    cut = true;
  }
  if (!cut) return;
  first_again_due_ = true;
  rto_at_ = now + state_.rtt.rto();
}

// RFC 1191 §6.3, RFC 8201 §4: paths change, so a lowered size grows old. RFC 4821 §7.3: one segment
// with data behind it tries the full size again: if it is lost, it goes again in two pieces.
bool Sender::try_full_size(Instant now) const noexcept {
  return state_.mss < state_.mss_full && now >= state_.mss_tried + options_.path_age &&
         phase_ == Phase::open && unsent() >= 2 * uint32_t{state_.mss_full} &&
         usable_window() >= state_.mss_full;
}

// The path lets pass what was acknowledged.
void Sender::note_size(uint32_t length) noexcept {
  if (length > state_.mss && length <= state_.mss_full && !state_.fin_sent) {
    state_.mss = static_cast<uint16_t>(length);
    congestion_.set_mss(length);
  }
  state_.mss_acked =
      std::max(state_.mss_acked, static_cast<uint16_t>(std::min<uint32_t>(length, state_.mss)));
}

// RFC 4821 §7.7: segments of full size that time out again and again, with no message, may be too
// large for a path whose routers are silent. RFC 4821 §7.2: 1024 bytes are a good base, 512 fit
// wherever IPv4 works.
void Sender::find_black_hole(Instant now) noexcept {
  static constexpr uint32_t kBases[] = {1024 - 40, 512};
  if (timeouts_in_row_ < 3 || board_.empty() || board_[0].length < state_.mss) return;
  for (const uint32_t base : kBases) {
    if (base >= state_.mss) continue;
    state_.mss_acked = 0;
    return lower_mss(base, now);
  }
}

// --- What leaves ------------------------------------------------------------------------------

std::optional<uint32_t> Sender::lost_record() const noexcept {
  for (uint32_t i = 0; i < board_.size(); ++i) {
    if (board_[i].lost && !board_[i].retransmission_in_flight) return i;
  }
  return std::nullopt;
}

// Bytes that congestion control lets leave now.
uint64_t Sender::budget() const noexcept {
  if (phase_ == Phase::recovery && state_.sack) return prr_budget_;
  const uint64_t window =
      phase_ == Phase::recovery ? newreno_.window() : congestion_.cwnd() + newreno_.limited_bytes();
  // Without SACK, what is lost is known only to be at the front (RFC 6582 §3.2).
  const uint64_t out = phase_ == Phase::recovery ? flight() : board_.pipe();
  return window > out ? window - out : 0;
}

// The payload of the next new segment, 0 if it is not time to send one.
uint32_t Sender::new_length() const noexcept {
  const uint32_t waiting = unsent();
  const uint32_t usable = state_.window > flight() ? state_.window - flight() : 0;
  const uint32_t length = std::min({waiting, usable, mss()});
  if (length == 0) return 0;
  // RFC 9293 §3.8.6.2.1 (MUST-38): the sender's silly window avoidance, with Nagle's rule
  // (RFC 9293 §3.7.4) as its condition on what is outstanding.
  if (length == state_.mss) return length;
  if (length == waiting && (state_.fin_queued || !state_.nagle || state_.una == state_.nxt))
    return length;
  if (length >= state_.max_window / 2) return length;
  return 0;
}

uint32_t Sender::fill(Seq begin, uint32_t length, Outgoing& out) const noexcept {
  const SendQueue::Gathered gathered = queue_.range(begin, length, out.slices);
  out.slice_count = gathered.slices;
  out.bytes = gathered.bytes;
  return gathered.bytes;
}

void Sender::note_sent(uint32_t bytes, Instant now) noexcept {
  pacing_.on_sent(bytes, now,
                  {.cwnd = congestion_.cwnd(),
                   .srtt = state_.rtt.srtt(),
                   .slow_start = congestion_.slow_start()});
  if (phase_ == Phase::recovery && state_.sack) {
    prr_.on_sent(bytes);
    prr_budget_ -= std::min<uint64_t>(prr_budget_, bytes);
  }
  state_.last_sent = now;
  ++counters_.segments;
  // RFC 6298 §5.1.
  if (rto_at_ == kNever) rto_at_ = now + state_.rtt.rto();
  persist_at_ = kNever;
}

// RFC 9293 §3.8.5 (MUST-30, MUST-31): of any length: what the field cannot say yet is said later.
void Sender::point_to_urgent(Seq seq, Outgoing& out) const noexcept {
  if (!state_.urgent_sent || state_.urgent <= seq) return;
  out.header.flags |= kUrg;
  out.header.urgent =
      static_cast<uint16_t>(std::min<uint32_t>(state_.urgent.value - seq.value, 65535));
}

bool Sender::send_again(uint32_t record, Instant now, Outgoing& out) {
  const uint32_t payload_max = static_cast<uint32_t>(queue_.end() - board_[record].begin);
  const uint32_t wanted = std::min({board_[record].length, mss(), payload_max});
  const Seq begin = board_[record].begin;
  const uint32_t bytes = fill(begin, wanted, out);
  const bool with_fin = state_.fin_sent && bytes == payload_max &&
                        board_[record].end() == state_.nxt && bytes + 1 == board_[record].length;
  const uint32_t length = bytes + (with_fin ? 1 : 0);
  if (length == 0) return false;
  if (length < board_[record].length && !board_.split(record, length)) return false;
  out.header.seq = begin;
  if (with_fin) out.header.flags |= kFin;
  if (begin + bytes == queue_.end()) out.header.flags |= kPsh;
  point_to_urgent(begin, out);
  board_.on_retransmitted(record, now);
  ++counters_.retransmits;
  note_sent(length, now);  // RFC 3168 §6.1.5: a retransmission is not marked ECT
  return true;
}

bool Sender::send_new(uint32_t length, Instant now, Outgoing& out) {
  if (board_.full()) return false;
  if (state_.una == state_.nxt) {
    congestion_.on_idle(now, state_.last_sent, state_.rtt.rto());
    last_progress_ = now;
  }
  const uint32_t bytes = fill(state_.nxt, length, out);
  PASTE_CHECK(length == 0 || bytes > 0);
  if (bytes > state_.mss) state_.mss_tried = now;
  const bool last = state_.nxt + bytes == queue_.end();
  const bool with_fin = state_.fin_queued && last;
  out.header.seq = state_.nxt;
  // RFC 9293 §3.9.1.2 (MUST-61): PSH on the last segment of what was given to send.
  if (last && bytes > 0) out.header.flags |= kPsh;
  if (with_fin) out.header.flags |= kFin;
  point_to_urgent(state_.nxt, out);
  if (state_.ecn && bytes > 0) {
    out.header.ect = true;                   // RFC 3168 §6.1.1: data, not retransmitted
    if (cwr_due_) out.header.flags |= kCwr;  // RFC 3168 §6.1.2: on the first new data
    cwr_due_ = false;
  }
  const uint32_t sequence = bytes + (with_fin ? 1 : 0);
  PASTE_CHECK(board_.on_sent(state_.nxt, sequence, now).has_value());
  state_.nxt += sequence;
  state_.fin_sent = state_.fin_sent || with_fin;
  note_sent(sequence, now);
  cwnd_limited_ = budget() < state_.mss;
  start_tail_timer(now);  // RFC 8985 §7.2: with every transmission of new data
  return true;
}

Sender::Plan Sender::plan(Instant now) const noexcept {
  using What = Plan::What;
  if (window_probe_due_) return {What::window_probe};
  if (tail_probe_due_) return {What::tail_probe};
  if (!pacing_.allows(now)) return {};
  const uint64_t allowed = budget();
  const bool idle = board_.pipe() == 0;
  if (const auto lost = board_.lost_bytes() == 0 ? std::nullopt : lost_record()) {
    // Without SACK each (partial) acknowledgement of a recovery lets one segment leave again,
    // however large the flight (RFC 6582 §3.2 step 3).
    if (board_[*lost].length > mss() && !board_.can_split()) return {};
    const bool forced = first_again_due_ || (phase_ == Phase::recovery && !state_.sack);
    if (allowed == 0 && !idle && !forced) return {};
    return {.what = What::again, .record = *lost};
  }
  if (board_.full()) return {};
  if (unsent() == 0 && state_.fin_queued == state_.fin_sent) return {};
  const uint32_t length = try_full_size(now) ? state_.mss_full : new_length();
  if (length > 0) {
    if (allowed < length && !idle) return {};
    return {.what = What::fresh, .length = length};
  }
  if (state_.fin_queued && !state_.fin_sent && unsent() == 0) return {.what = What::fresh};
  return {};
}

bool Sender::send_window_probe(Instant now, Outgoing& out) {
  window_probe_due_ = false;
  ++counters_.window_probes;
  const Instant again_at = persist_at_;
  bool sent = false;
  if (board_.reneged()) board_.forget_sacks();  // RFC 2018 §8
  if (!board_.empty()) {
    sent = send_again(0, now, out);
  } else if (unsent() > 0) {
    // RFC 9293 §3.8.6.1 (MUST-36): at least one octet of new data. A window that is too small to be
    // worth a segment is filled after this wait (RFC 9293 §3.8.6.2.1).
    sent = send_new(std::clamp(std::min(usable_window(), mss()), 1U, unsent()), now, out);
  }
  rto_at_ = probe_at_ = kNever;
  persist_at_ = again_at;
  return sent;
}

// The octet of a window probe that the closed window refused need not go alone again: what follows
// it goes along. Whoever calls this sends at once, so that SND.NXT is where it was, or further.
bool Sender::take_back_probe() noexcept {
  const bool alone = board_.size() == 1 && board_[0].length == 1 && !board_[0].sacked &&
                     !state_.fin_sent && phase_ == Phase::open && queue_.bytes() > 1 &&
                     state_.window > 1;
  if (!alone) return false;
  board_.reset();
  state_.nxt = state_.una;
  return true;
}

// RFC 8985 §7.3: new data if there is any and the window allows, else the last segment again.
bool Sender::send_tail_probe(Instant now, Outgoing& out) {
  tail_probe_due_ = false;
  ++counters_.probes;
  const uint32_t length = board_.full() ? 0 : std::min({unsent(), usable_window(), mss()});
  if (length == 0) {
    uint32_t last = board_.size();
    while (last > 0 && board_[last - 1].sacked) --last;
    if (last == 0 || !send_again(last - 1, now, out)) return false;
  } else if (!send_new(length, now, out)) {
    return false;
  }
  probe_.on_probe_sent(state_.nxt, length == 0);
  probe_at_ = kNever;
  rto_at_ = now + state_.rtt.rto();
  return true;
}

bool Sender::next(Instant now, Outgoing& out) {
  const Plan next = plan(now);
  switch (next.what) {
    case Plan::What::window_probe:
      return send_window_probe(now, out);
    case Plan::What::tail_probe:
      return send_tail_probe(now, out);
    case Plan::What::again:
      first_again_due_ = false;
      if (take_back_probe()) {
        const bool sent = send_new(std::min({unsent(), usable_window(), mss()}), now, out);
        out.header.ect = false;  // its first octet was sent before (RFC 3168 §6.1.5)
        return sent;
      }
      return send_again(next.record, now, out);
    case Plan::What::fresh:
      return send_new(next.length, now, out);
    case Plan::What::nothing:
      break;
  }
  // The spreading of bursts is the window's doing too, while what is in flight uses it (RFC 7661).
  if (unsent() > 0 && (budget() < state_.mss ||
                       (pacing_.burst_over() && uint64_t{2} * flight() >= congestion_.cwnd()))) {
    cwnd_limited_ = true;
  }
  arm_persist(now);
  return false;
}

// --- Timers -----------------------------------------------------------------------------------

void Sender::start_tail_timer(Instant now) noexcept {
  // RFC 8985 §7.2: RACK watches what SACK has shown; one probe at a time.
  const bool wanted =
      state_.sack && phase_ == Phase::open && !probe_.outstanding() && board_.sacked_records() == 0;
  probe_at_ = !wanted ? kNever
                      : TailLossProbe::deadline({.now = now,
                                                 .srtt = state_.rtt.srtt(),
                                                 .one_segment_in_flight = board_.size() == 1,
                                                 .rto_expires = rto_at_});
}

// RFC 9293 §3.8.6.1 (MUST-35): with nothing outstanding only a probe can find the window open.
void Sender::arm_persist(Instant now) noexcept {
  if (persist_at_ != kNever || state_.una != state_.nxt || unsent() == 0 || new_length() > 0)
    return;
  last_progress_ = now;  // R2 counts from here
  persist_at_ = now + state_.rtt.rto();
}

// A few bursts in a round trip, but no more timers than a clock of milliseconds can give.
Duration Sender::between_bursts() const noexcept {
  return std::clamp<Duration>(state_.rtt.srtt() / 8, std::chrono::microseconds(50),
                              std::chrono::milliseconds(1));
}

// A window that is spread over the round trip leaves in time although timers are late by as much as
// they wait, and though it doubles meanwhile: four times what would do.
uint64_t Sender::burst_segments() const noexcept {
  static constexpr uint64_t kSmall = 16;  // below, what is allowed at least is enough
  const auto srtt = static_cast<uint64_t>(state_.rtt.srtt().count());
  if (congestion_.cwnd() <= kSmall * state_.mss || srtt == 0) return 0;
  const auto between = static_cast<uint64_t>(between_bursts().count());
  return congestion_.cwnd() * 4 * between / (srtt * state_.mss);
}

Instant Sender::deadline() const noexcept {
  Instant at = std::min({rto_at_, reorder_at_, probe_at_, persist_at_});
  if (state_.una != state_.nxt || persist_at_ != kNever) {
    at = std::min(at, last_progress_ + options_.user_timeout);
  }
  if (unsent() > 0 || board_.lost_bytes() > 0) {
    if (pacing_.release() > state_.last_sent) at = std::min(at, pacing_.release());
    if (pacing_.burst_over()) at = std::min(at, state_.last_sent + between_bursts());
  }
  return at;
}

bool Sender::on_time(Instant now) {
  pacing_.forget_passed(now);
  if (now >= state_.last_sent + between_bursts()) begin_burst();
  // RFC 9293 §3.8.3 (MUST-20): past R2 the connection is closed. Probes of a zero window that are
  // answered count as progress (MUST-37).
  if ((state_.una != state_.nxt || persist_at_ != kNever) &&
      now >= last_progress_ + options_.user_timeout) {
    return false;
  }
  if (reorder_at_ <= now) {
    reorder_at_ = kNever;
    const Rack::Detected detected = rack_.detect_losses(board_, now);
    reorder_at_ = detected.deadline;
    if (detected.lost > 0 && phase_ == Phase::open) {
      saved_ = congestion_.save();
      const uint64_t ssthresh = congestion_.on_loss(now, flight());
      prr_.enter({.flight = flight(),
                  .sacked = board_.sacked_bytes(),
                  .ssthresh = ssthresh,
                  .mss = state_.mss});
      prr_budget_ = prr_.on_ack({.delivered = 0, .pipe = board_.pipe()});
      recover_ = state_.nxt;
      phase_ = Phase::recovery;
      ++counters_.recoveries;
    }
  }
  if (probe_at_ <= now) {
    probe_at_ = kNever;
    if (phase_ == Phase::open && state_.una != state_.nxt) tail_probe_due_ = true;
  }
  if (persist_at_ <= now) on_window_probe(now);
  if (rto_at_ <= now && !tail_probe_due_) on_retransmission_timeout(now);
  return true;
}

void Sender::on_window_probe(Instant now) noexcept {
  window_probe_due_ = true;
  persist_backoff_ = std::min(persist_backoff_ + 1, 16U);
  // RFC 9293 §3.8.6.1 (SHLD-30): the interval grows exponentially.
  const Duration interval = state_.rtt.rto() * (int64_t{1} << persist_backoff_);
  persist_at_ = now + std::min<Duration>(interval, options_.rtt.rto_max);
}

void Sender::on_retransmission_timeout(Instant now) {
  rto_at_ = kNever;
  if (state_.una == state_.nxt) return;
  if (state_.window == 0) {
    // What went into a window that has closed since is probed for, not lost to congestion.
    if (persist_at_ == kNever) persist_at_ = now;
    on_window_probe(now);
    return;
  }
  ++counters_.timeouts;
  const bool again = phase_ == Phase::loss;
  if (!again) saved_ = congestion_.save();
  congestion_.on_rto(now, flight(), timeouts_in_row_ == 0);
  if (++timeouts_in_row_ == 3) r1_passed_ = true;
  state_.rtt.on_timeout();  // RFC 6298 §5.5
  frto_.on_timeout(state_.una, state_.nxt, again);
  newreno_.on_timeout(state_.nxt);
  if (board_.reneged()) board_.forget_sacks();  // RFC 2018 §8
  if (state_.sack) {
    rack_.mark_losses_on_rto(board_, now);
  } else {
    board_.mark_all_lost();
  }
  recover_ = state_.nxt;
  phase_ = Phase::loss;
  first_again_due_ = true;  // RFC 6298 §5.4
  find_black_hole(now);
  probe_.reset();
  probe_at_ = reorder_at_ = kNever;
  rto_at_ = now + state_.rtt.rto();  // RFC 6298 §5.6
}

}  // namespace paste::tcp
