// Connection: a segment arrives. The order of the checks is that of RFC 9293 §3.10.7, with
// RFC 7323 §5.3 in front and RFC 5961 in place of what it replaces.
#include <algorithm>

#include "tcp/connection.h"

namespace paste::tcp {

void Connection::drop_payload(const Segment& segment, Owner& owner) const {
  if (segment.payload.length != 0) owner.release(segment.payload.buffer);
}

void Connection::challenge(Instant now, Owner& owner) {
  if (owner.may_challenge(now, challenges_)) ack_.require_now();
}

// What both SYNs say about options holds from now on.
void Connection::agree(const SegmentOptions& peer, bool peer_ecn, Instant now) noexcept {
  if (peer.mss != 0) peer_mss_ = peer.mss;
  sack_ok_ = own().sack && peer.sack_permitted;
  timestamps_ok_ = own().timestamps && peer.timestamps;
  if (timestamps_ok_) timestamps_.start(peer.ts_value, now);
  scale_ok_ = own().window_scale && peer.shift != SegmentOptions::kNoShift;
  // RFC 7323 §2.3: a larger shift is used as 14.
  send_shift_ = scale_ok_ ? std::min(peer.shift, kShiftMax) : uint8_t{0};
  if (!scale_ok_) receive_shift_ = 0;
  ecn_ok_ = own().ecn && peer_ecn;
}

void Connection::start_receiving(Seq irs, Instant now) {
  irs_ = irs;
  rcv_nxt_ = irs + 1;
  last_ack_sent_ = rcv_nxt_;
  const uint32_t promised = window_.window(Seq{});  // by our SYN, if we sent one
  window_ = ReceiveWindow({.initial = own().window_initial,
                           .max = own().window_max,
                           .mss = own().mss,
                           .shift = receive_shift_},
                          rcv_nxt_);
  if (promised > 0) {
    (void)window_.advertise_in_syn(rcv_nxt_, {.bytes = promised, .buffers = UINT32_MAX});
  }
  heard_ = now;
}

void Connection::become_established(const Segment& segment, Instant now) noexcept {
  const uint32_t option_bytes = timestamps_ok_ ? 12 : 0;  // RFC 6691: deducted by the sender
  const uint32_t mss = std::min<uint32_t>(peer_mss_, own().mss);
  SenderStart start{.first = iss_ + 1,
                    .mss = std::max<uint32_t>(mss, option_bytes + 64) - option_bytes,
                    .window = segment.has(kSyn) ? segment.window : window_of(segment),
                    .window_seq = segment.seq,
                    .window_ack = segment.ack,
                    .sack = sack_ok_,
                    .ecn = ecn_ok_,
                    .syn_was_retransmitted = syn_sent_count_ > 1};
  if (syn_sent_count_ == 1) start.handshake_rtt = now - syn_first_;
  const bool nagle = send_.nagle;
  send_ = SendState(own().sender, start, now);
  send_.nagle = nagle;
  opened_ = true;
  syn_at_ = kNever;
  state_ = State::established;
  if (keep_alive_) keep_alive_at_ = now + own().keep_alive_idle;
  if (finish_wanted_) (void)shutdown();
}

// RFC 9293 §3.10.7.3.
std::optional<Segment> Connection::arrive_in_syn_sent(const Segment& segment, Instant now,
                                                      Owner& owner) {
  const bool ack_ok = segment.has(kAck) && segment.ack == iss_ + 1 && syn_sent_count_ > 0;
  if (segment.has(kAck) && !ack_ok) {
    ++shared_.drops.in_syn_sent;
    return reset_for(segment);
  }
  if (segment.has(kRst)) {
    // RFC 5961 §3.2, RFC 9293 §3.10.7.3: believed only with an acceptable ACK.
    if (ack_ok) {
      end(Ending::refused, owner);
    } else {
      ++shared_.drops.bad_reset;
    }
    return std::nullopt;
  }
  if (!segment.has(kSyn)) {
    ++shared_.drops.in_syn_sent;
    return std::nullopt;
  }
  if (ack_ok) {
    agree(segment.options, segment.has(kEce) && !segment.has(kCwr), now);
    start_receiving(segment.seq, now);
    become_established(segment, now);
    ack_.require_now();
  } else {
    // RFC 9293 §3.5 (MUST-10): a simultaneous open.
    agree(segment.options, segment.has(kEce) && segment.has(kCwr), now);
    start_receiving(segment.seq, now);
    state_ = State::syn_received;
    syn_at_ = now;
    syn_sent_count_ = 0;
  }
  return std::nullopt;
}

bool Connection::check_timestamp(const Segment& segment, Instant now) {
  if (!timestamps_ok_ || segment.has(kRst)) return true;
  if (!segment.options.timestamps) {
    ++shared_.drops.no_timestamp;  // RFC 7323 §3.2: silently
    return false;
  }
  if (timestamps_.rejects(segment.options.ts_value, false, now)) {
    ++shared_.drops.paws;
    ack_.require_now();  // RFC 7323 §5.3 R1
    return false;
  }
  return true;
}

// RFC 9293 §3.10.7.4, first.
bool Connection::check_sequence(const Segment& segment, Instant now, Owner& owner) {
  const SegmentSpan span{.seq = segment.seq,
                         .payload = segment.payload.length,
                         .syn = segment.has(kSyn),
                         .fin = segment.has(kFin)};
  // RFC 9293 §3.5, figure 8: a simultaneous open ends with the peer's SYN, again, and its ACK.
  if (state_ == State::syn_received && !passive_ && segment.has(kSyn) && segment.has(kAck) &&
      segment.seq == irs_ && segment.ack == iss_ + 1) {
    return true;
  }
  const uint32_t window = window_.window(rcv_nxt_);
  if (acceptable(span, rcv_nxt_, window)) {
    if (timestamps_ok_ && segment.options.timestamps) {
      timestamps_.update(segment.seq, segment.options.ts_value, last_ack_sent_, now);
    }
    return true;
  }
  ++shared_.drops.not_acceptable;
  if (segment.has(kRst)) return false;
  if (state_ == State::syn_received && segment.has(kSyn) && segment.seq == irs_) {
    syn_at_ = now;  // the peer has not seen our answer to its SYN
    return false;
  }
  if (state_ == State::time_wait && segment.has(kFin)) time_wait_until_ = now + own().time_wait;
  if (segment.payload.length > 0 && sack_ok_ && segment.seq < rcv_nxt_) {
    // RFC 2883 §4: what arrived twice.
    note_duplicate({segment.seq, min(segment.seq + segment.payload.length, rcv_nxt_)});
  }
  ack_.require_now();
  // RFC 9293 MUST-66: with a closed window, what a segment in sequence says is still heard.
  if (window == 0 && segment.seq == rcv_nxt_ && segment.has(kAck) && !segment.has(kSyn) &&
      opened_ && segment.ack <= send_.nxt) {
    take_ack(segment, now, owner);
    if (state_ == State::last_ack && send_.fin_acked()) end(Ending::orderly, owner);
  }
  return false;
}

// RFC 9293 §3.10.7.4, second and fourth; RFC 5961 §3 and §4.
bool Connection::check_reset_and_syn(const Segment& segment, Instant now, Owner& owner) {
  if (segment.has(kRst) && state_ == State::time_wait) {
    // RFC 1337 §3 fix F1: an answer to an old duplicate must not end TIME-WAIT early.
    ++shared_.drops.bad_reset;
    return false;
  }
  if (segment.has(kRst)) {
    switch (admit_reset(segment.seq, rcv_nxt_, window_.window(rcv_nxt_))) {
      case Admit::accept:
        end(state_ == State::syn_received && !passive_ ? Ending::refused : Ending::reset, owner);
        break;
      case Admit::challenge:
        ++shared_.drops.bad_reset;
        challenge(now, owner);
        break;
      case Admit::drop:
        ++shared_.drops.bad_reset;
        break;
    }
    return false;
  }
  if (segment.has(kSyn)) {
    // In a simultaneous open the peer's SYN comes again with the ACK of ours.
    if (state_ == State::syn_received && segment.seq == irs_ && segment.has(kAck)) return true;
    ++shared_.drops.bad_syn;
    challenge(now, owner);
    return false;
  }
  return true;
}

// RFC 9293 §3.10.7.4, fifth, and RFC 5961 §5. `true`: go on with the data.
bool Connection::check_ack(const Segment& segment, Instant now, std::optional<Segment>& reset) {
  if (!segment.has(kAck)) {
    ++shared_.drops.no_ack;
    return false;
  }
  if (state_ == State::syn_received) {
    if (segment.ack != iss_ + 1) {
      ++shared_.drops.bad_ack;
      reset = reset_for(segment);
      return false;
    }
    become_established(segment, now);
  }
  return true;
}

void Connection::after_fin_acked(Instant now) {
  if (!send_.fin_acked()) return;
  switch (state_) {
    case State::fin_wait_1:
      state_ = State::fin_wait_2;
      // RFC 9293 §3.10.7.4 leaves open how long; nobody reads any more, so not for ever.
      if (discard_) time_wait_until_ = now + own().time_wait;
      break;
    case State::closing:
      state_ = State::time_wait;
      time_wait_until_ = now + own().time_wait;  // RFC 9293 MUST-13
      break;
    default:
      break;
  }
}

void Connection::take_ack(const Segment& segment, Instant now, Owner& owner) {
  if (segment.ack < send_.una) return;  // an old duplicate
  const SegmentOptions& options = segment.options;
  const uint32_t window = segment.has(kSyn) ? segment.window : window_of(segment);
  if (!sender_) {
    // Nothing is in flight, so there is nothing to acknowledge.
    send_.update_window(segment.seq, segment.ack, window);
    return;
  }
  Sender::Ack ack{.seq = segment.seq,
                  .ack = segment.ack,
                  .window = window,
                  .blocks = options.blocks(),
                  .has_data = segment.length() != 0,
                  .ece = segment.has(kEce)};
  if (!sender_->take_plain_ack(ack, now, owner)) {
    // RFC 7323 §3.2: an echo is meaningful with ACK; RFC 7323 §4.1.
    if (timestamps_ok_ && options.timestamps && options.ts_echo != 0) {
      ack.echo_rtt = timestamps_.since(options.ts_echo, now);
    }
    sender_->on_ack(ack, now, owner);
  }
  after_fin_acked(now);
}

bool Connection::want_out_of_order() {
  return out_of_order_ || shared_.out_of_order.take(out_of_order_, own().reassembly);
}

void Connection::note_duplicate(SeqRange range) {
  if (want_out_of_order()) out_of_order_->sacks.set_duplicate(range);
}

void Connection::deliver_in_order(Owner& owner) {
  while (const auto slice = out_of_order_->queue.pop(rcv_nxt_)) {
    if (slice->length == 0) {
      owner.release(slice->buffer);
      continue;
    }
    rcv_nxt_ += slice->length;
    unread_bytes_ += slice->length;
    ++unread_buffers_;
    owner.deliver(*slice);
  }
  out_of_order_->sacks.advance(rcv_nxt_);
}

// RFC 9293 §3.10.7.4, seventh. False: the connection ended.
bool Connection::take_data(const Segment& segment, Instant now, Owner& owner) {
  const bool receiving =
      state_ == State::established || state_ == State::fin_wait_1 || state_ == State::fin_wait_2;
  if (!receiving) {
    drop_payload(segment, owner);
    return true;
  }
  if (segment.payload.length != 0 && pins_too_much()) {
    // As if it had been lost; the window that is told now, and later updates, slow the peer down.
    ++shared_.drops.no_buffers;
    drop_payload(segment, owner);
    ack_.require_now();
    return true;
  }
  if (discard_ && segment.payload.length != 0 && segment.seq + segment.payload.length > rcv_nxt_) {
    // RFC 9293 SHLD-3, RFC 2525 §2.17: data that nobody will read is answered with a reset.
    ++shared_.drops.after_close;
    drop_payload(segment, owner);
    end(Ending::aborted, owner);
    return false;
  }
  const Trimmed trimmed = trim({.seq = segment.seq,
                                .payload = segment.payload.length,
                                .syn = segment.has(kSyn),
                                .fin = segment.has(kFin)},
                               rcv_nxt_, window_.window(rcv_nxt_));
  Arrival arrival{
      .fin = trimmed.kept.fin, .ce = ecn_ok_ && segment.ce, .cwr = ecn_ok_ && segment.has(kCwr)};
  if (trimmed.kept.payload == 0) {
    drop_payload(segment, owner);
  } else {
    Slice slice = segment.payload;
    slice.offset = static_cast<uint16_t>(slice.offset + trimmed.skipped);
    slice.length = static_cast<uint16_t>(trimmed.kept.payload);
    if (trimmed.kept.seq != rcv_nxt_ || out_of_order_) {
      queue_payload(trimmed.kept.seq, slice, arrival, owner);
    } else {
      take_payload(slice, owner);
      arrival.payload = slice.length;
      if (trimmed.skipped != 0 && sack_ok_) {
        note_duplicate({segment.seq, segment.seq + trimmed.skipped});  // RFC 2883 §4.2
        ack_.require_now();
      }
    }
  }
  bool finished = false;
  if (trimmed.kept.fin) {
    const Seq fin = trimmed.kept.seq + trimmed.kept.payload;
    finished = fin == rcv_nxt_ && !out_of_order_;
    if (!finished && want_out_of_order() && !out_of_order_->queue.note_fin(fin)) {
      ++shared_.drops.beyond_fin;
    }
  }
  if (arrival.payload != 0 || arrival.fin || segment.payload.length != 0) {
    ack_.on_segment(now, arrival);
  }
  if (finished || (out_of_order_ && out_of_order_->queue.fin_reached(rcv_nxt_))) take_fin(now);
  return true;
}

void Connection::take_payload(Slice slice, Owner& owner) {
  rcv_nxt_ += slice.length;
  unread_bytes_ += slice.length;
  ++unread_buffers_;
  owner.deliver(slice);
}

// Something is missing, or was.
void Connection::queue_payload(Seq seq, Slice slice, Arrival& arrival, Owner& owner) {
  arrival.out_of_order = true;
  if (!want_out_of_order()) {
    ++shared_.drops.out_of_order_full;
    return owner.release(slice.buffer);
  }
  Reassembly& queue = out_of_order_->queue;
  SackList& sacks = out_of_order_->sacks;
  const bool waiting = !queue.empty();
  const InsertResult result = queue.insert(rcv_nxt_, seq, slice);
  if (result.holds == 0) owner.release(slice.buffer);
  if (result.holds > 1) owner.hold(slice.buffer, result.holds - 1);
  if (result.outcome == InsertOutcome::too_many_bytes ||
      result.outcome == InsertOutcome::too_many_buffers) {
    ++shared_.drops.out_of_order_full;
  }
  if (result.outcome == InsertOutcome::beyond_fin) ++shared_.drops.beyond_fin;
  if (sack_ok_ && !result.range.empty()) sacks.add(result.range);
  if (sack_ok_ && !result.duplicate.empty()) sacks.set_duplicate(result.duplicate);
  const Seq before = rcv_nxt_;
  deliver_in_order(owner);
  arrival.payload = static_cast<uint32_t>(rcv_nxt_ - before);
  arrival.fills_gap = waiting && rcv_nxt_ != before;
  arrival.out_of_order = rcv_nxt_ == before;
  if (result.should_coalesce && queue.pieces() > own().reassembly.coalesce_above) {
    queue.coalesce(own().reassembly.gathered_max,
                   [&owner](auto pieces, uint32_t bytes) { return owner.gather(pieces, bytes); });
  }
  drop_out_of_order();
}

// RFC 9293 §3.10.7.4, sixth. RFC 9293 MUST-62: the pointer is behind the last urgent octet.
void Connection::take_urgent(const Segment& segment, Owner& owner) {
  const Seq up = segment.seq + segment.urgent;
  const bool receiving =
      state_ == State::established || state_ == State::fin_wait_1 || state_ == State::fin_wait_2;
  // RFC 9293 MUST-32: the program hears of it when there is some, and when it advances.
  if (!receiving || up <= rcv_nxt_ || (urgent_known_ && up <= urgent_)) return;
  urgent_ = up;
  urgent_known_ = true;
  owner.urgent(urgent_bytes());
}

// RFC 9293 §3.10.7.4, eighth.
void Connection::take_fin(Instant now) {
  if (peer_finished_) return;
  peer_finished_ = true;
  out_of_order_.release();  // nothing comes behind it
  rcv_nxt_ += 1;
  ack_.require_now();
  switch (state_) {
    case State::established:
      state_ = State::close_wait;
      break;
    case State::fin_wait_1:
      state_ = State::closing;
      after_fin_acked(now);
      break;
    case State::fin_wait_2:
      state_ = State::time_wait;
      time_wait_until_ = now + own().time_wait;
      break;
    default:
      break;
  }
}

// In ESTABLISHED, the next segment in order or an acknowledgement, with nothing else to it: all the
// checks below pass and do nothing. False: it is none, and nothing has changed.
bool Connection::take_expected(const Segment& segment, Instant now, Owner& owner) {
  const uint32_t length = segment.payload.length;
  if (state_ != State::established || (segment.flags & ~kPsh) != kAck || segment.seq != rcv_nxt_ ||
      out_of_order_ || discard_ || ecn_ok_ || length > window_.window(rcv_nxt_) ||
      segment.ack < send_.una || segment.ack > send_.nxt ||
      segment.options.timestamps != timestamps_ok_ || !own().sender.short_ways ||
      (length != 0 && pins_too_much())) {
    return false;
  }
  if (timestamps_ok_) {
    if (timestamps_.rejects(segment.options.ts_value, false, now)) return false;
    timestamps_.update(segment.seq, segment.options.ts_value, last_ack_sent_, now);
  }
  heard_ = now;
  keep_alive_sent_ = 0;
  if (sender_) sender_->begin_burst();
  take_ack(segment, now, owner);
  if (length != 0) {
    take_payload(segment.payload, owner);
    ack_.on_segment(now, {.payload = length});
  }
  return true;
}

std::optional<Segment> Connection::process(const Segment& segment, Instant now, Owner& owner) {
  if (take_expected(segment, now, owner)) return std::nullopt;
  if (state_ == State::closed) {
    drop_payload(segment, owner);
    return reset_for(segment);
  }
  if (state_ == State::syn_sent) {
    std::optional<Segment> reset = arrive_in_syn_sent(segment, now, owner);
    // Data with a SYN is not kept: without a cookie (RFC 7413) nobody vouches for it.
    drop_payload(segment, owner);
    return reset;
  }
  std::optional<Segment> reset;
  if (!check_timestamp(segment, now) || !check_sequence(segment, now, owner) ||
      !check_reset_and_syn(segment, now, owner) || !check_ack(segment, now, reset)) {
    drop_payload(segment, owner);
    return reset;
  }
  heard_ = now;
  keep_alive_sent_ = 0;
  if (sender_) sender_->begin_burst();
  const AckBounds bounds{
      .snd_una = send_.una, .snd_nxt = send_.nxt, .max_snd_wnd = send_.max_window};
  if (admit_ack(segment.ack, bounds) != Admit::accept) {
    ++shared_.drops.bad_ack;
    challenge(now, owner);
    drop_payload(segment, owner);
    return std::nullopt;
  }
  take_ack(segment, now, owner);
  if (state_ == State::last_ack && send_.fin_acked()) {
    drop_payload(segment, owner);
    end(Ending::orderly, owner);
    return std::nullopt;
  }
  if (segment.has(kUrg)) take_urgent(segment, owner);
  if (!take_data(segment, now, owner)) return reset_for(segment);
  return std::nullopt;
}

}  // namespace paste::tcp
