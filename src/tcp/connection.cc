// Connection: the program's calls, the timers, and what leaves.
#include "tcp/connection.h"

#include <algorithm>

namespace paste::tcp {

const char* to_string(State state) noexcept {
  switch (state) {
    case State::closed:
      return "CLOSED";
    case State::syn_sent:
      return "SYN-SENT";
    case State::syn_received:
      return "SYN-RECEIVED";
    case State::established:
      return "ESTABLISHED";
    case State::fin_wait_1:
      return "FIN-WAIT-1";
    case State::fin_wait_2:
      return "FIN-WAIT-2";
    case State::close_wait:
      return "CLOSE-WAIT";
    case State::closing:
      return "CLOSING";
    case State::last_ack:
      return "LAST-ACK";
    case State::time_wait:
      return "TIME-WAIT";
  }
  return "?";
}

Connection::Connection(Shared& shared, Identity identity, Instant now) noexcept
    : shared_(shared),
      ack_(shared.options.ack, shared.options.mss),
      window_({}, Seq{}),
      timestamps_(identity.timestamp_offset),
      iss_(identity.iss),
      syn_at_(now),
      syn_first_(now),
      heard_(now),
      receive_shift_(shared.options.window_scale ? shift_for(shared.options.window_max)
                                                 : uint8_t{0}),
      state_(State::syn_sent) {
  send_.nagle = own().sender.nagle;
  keep_alive_ = own().keep_alive;
  dscp_ = own().dscp;
  peer_mss_ = identity.default_mss;
  window_ = ReceiveWindow({.initial = own().window_initial,
                           .max = own().window_max,
                           .mss = own().mss,
                           .shift = receive_shift_},
                          Seq{});
}

Connection::Connection(Shared& shared, Identity identity, const Segment& syn, Instant now) noexcept
    : Connection(shared, identity, now) {
  state_ = State::syn_received;
  passive_ = true;
  agree(syn.options, syn.has(kEce) && syn.has(kCwr), now);
  peer_window_ = syn.window;
  start_receiving(syn.seq, now);
}

uint16_t Connection::handshake_window(const ConnectionOptions& options) noexcept {
  return static_cast<uint16_t>(std::min(options.window_initial, 65535U));
}

void Connection::resume_handshake(uint8_t sent, Instant first) noexcept {
  syn_sent_count_ = sent;
  syn_first_ = first;
  syn_at_ = kNever;
  (void)window_.advertise_in_syn(rcv_nxt_,
                                 {.bytes = handshake_window(own()), .buffers = UINT32_MAX});
}

// --- The program's calls ----------------------------------------------------------------------

bool Connection::sending_state() const noexcept {
  constexpr auto bit = [](State state) { return 1U << static_cast<unsigned>(state); };
  constexpr unsigned kSending = bit(State::established) | bit(State::close_wait) |
                                bit(State::fin_wait_1) | bit(State::closing) | bit(State::last_ack);
  return (bit(state_) & kSending) != 0;
}

Result<> Connection::write(Slice slice, uint64_t cookie) {
  if (!opened_ || ending_ != Ending::none) {
    return fail(Code::closed,
                std::string("the connection is not open (") + std::string(to_string(state_)) + ")");
  }
  if (send_.fin_queued) return fail(Code::closed, "the sending direction was closed before");
  if (!want_sender()) {
    return fail(Code::busy,
                "as many connections have data in flight as the engine may track: write again "
                "when some was acknowledged");
  }
  return sender_->write(slice, cookie);
}

bool Connection::want_sender() {
  return sender_ || shared_.senders.take(sender_, own().sender, send_, shared_.sent);
}

void Connection::consumed(Instant now, uint32_t bytes, uint32_t buffers, const Owner& owner) {
  unread_bytes_ -= std::min(bytes, unread_bytes_);
  unread_buffers_ -= std::min(buffers, unread_buffers_);
  if (!opened_ || peer_finished_ || ending_ != Ending::none) return;
  window_.on_delivered(now, send_.rtt.srtt(), bytes);
  if (window_.may_need_update(rcv_nxt_) &&
      window_.update_needed(rcv_nxt_, room(owner), unread_bytes_)) {
    ack_.on_window_update_needed();
  }
}

void Connection::set_keep_alive(bool on, Instant now) noexcept {
  keep_alive_ = on;
  keep_alive_sent_ = 0;
  keep_alive_at_ = on && opened_ ? now + own().keep_alive_idle : kNever;
}

Result<> Connection::mark_urgent() {
  if (!opened_ || ending_ != Ending::none || send_.fin_queued) {
    return fail(Code::closed, "the sending direction is not open");
  }
  if (sender_) sender_->mark_urgent();
  return {};
}

uint32_t Connection::urgent_bytes() const noexcept {
  const Seq read = rcv_nxt_ - unread_bytes_;
  return urgent_known_ && urgent_ > read ? urgent_.value - read.value : 0;
}

Result<> Connection::shutdown() {
  switch (state_) {
    case State::syn_sent:
    case State::syn_received:
      finish_wanted_ = true;  // RFC 9293 §3.10.4: queued until ESTABLISHED
      return {};
    case State::established:
      state_ = State::fin_wait_1;
      break;
    case State::close_wait:
      state_ = State::last_ack;
      break;
    case State::closed:
    case State::fin_wait_1:
    case State::fin_wait_2:
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      return fail(Code::closed, "this direction of the connection was closed before");
  }
  send_.fin_queued = true;
  return {};
}

Result<> Connection::close() {
  discard_ = true;
  if (state_ == State::syn_sent) {
    // RFC 9293 §3.10.4: nothing is open yet, so there is nothing to close.
    state_ = State::closed;
    ending_ = Ending::aborted;
    syn_at_ = kNever;
    return {};
  }
  return shutdown();
}

void Connection::abort(Owner& owner) {
  switch (state_) {
    case State::closed:
      return;
    case State::syn_received:
    case State::established:
    case State::fin_wait_1:
    case State::fin_wait_2:
    case State::close_wait:
      reset_due_ = true;  // RFC 9293 §3.10.5
      break;
    case State::syn_sent:
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      break;
  }
  end(Ending::aborted, owner);
}

// Everything that it holds goes back; only a reset may still leave.
void Connection::end(Ending ending, Owner& owner) {
  if (ending_ == Ending::none) ending_ = ending;
  state_ = State::closed;
  if (out_of_order_) {
    while (const auto slice = out_of_order_->queue.pop_any()) owner.release(slice->buffer);
    out_of_order_.release();
  }
  if (sender_) {
    sender_->abandon(owner);
    sender_.release();
  }
  syn_at_ = time_wait_until_ = keep_alive_at_ = kNever;
  keep_alive_due_ = false;
}

// --- Timers -----------------------------------------------------------------------------------

Instant Connection::next_deadline(Instant now) const noexcept {
  if (reset_due_) return now;
  if (state_ == State::closed) return kNever;
  if (ack_.should_ack_now() || keep_alive_due_) return now;
  Instant at = std::min({syn_at_, time_wait_until_, keep_alive_at_, ack_.deadline()});
  if (sender_ && sending_state()) {
    if (!sender_->at_rest() && sender_->ready(now)) return now;
    at = std::min(at, sender_->deadline());
  }
  if (opened_ && sender_wanted()) at = std::min(at, now + kSenderRetry);
  return std::min(at, retire_at());
}

void Connection::run_timers(Instant now, Owner& owner) {
  if (time_wait_until_ <= now) return end(Ending::orderly, owner);
  if (sender_ && sending_state() && sender_->deadline() <= now && !sender_->on_time(now)) {
    // RFC 9293 §3.8.3 (MUST-20): R2 is over; §3.10.8 asks for no reset.
    return end(Ending::timed_out, owner);
  }
  // RFC 9293 MUST-20, SHLD-10: R1, three retransmissions.
  if (sender_ && sender_->passed_r1()) owner.soft_error(SoftError::retransmitting);
  if (retire_at() <= now) {
    // RFC 5681 §4.1: after such a pause little is left that is worth the memory.
    sender_->retire();
    sender_.release();
  }
  if (keep_alive_at_ <= now) {
    // RFC 9293 §3.8.4 (MUST-29): one lost probe is no sign of a dead connection.
    if (keep_alive_sent_ >= own().keep_alive_probes) {
      reset_due_ = true;
      return end(Ending::timed_out, owner);
    }
    const Instant silent_until = heard_ + own().keep_alive_idle;
    if (keep_alive_sent_ == 0 && silent_until > now) {
      keep_alive_at_ = silent_until;
    } else {
      ++keep_alive_sent_;
      keep_alive_due_ = true;
      keep_alive_at_ = now + own().keep_alive_interval;
    }
  }
}

// --- What leaves ------------------------------------------------------------------------------

Room Connection::room(const Owner& owner) const noexcept {
  const uint32_t pinned = unread_buffers_ + out_of_order_buffers();
  const uint32_t left = own().buffers_max > pinned ? own().buffers_max - pinned : 0;
  return {.bytes = UINT32_MAX, .buffers = std::min(left, owner.free_buffers())};
}

void Connection::fill_syn(Instant now, Segment& header) const noexcept {
  SegmentOptions& options = header.options;
  const bool answer = state_ == State::syn_received;
  header.seq = iss_;
  header.flags = kSyn;
  options.mss = own().mss;  // RFC 9293 SHLD-5: always
  options.sack_permitted = answer ? sack_ok_ : own().sack;
  // RFC 7323 §2.2: offered in a SYN, and in its answer only if the SYN had it.
  if (answer ? scale_ok_ : own().window_scale) options.shift = receive_shift_;
  if (answer ? timestamps_ok_ : own().timestamps) {
    options.timestamps = true;
    options.ts_value = timestamps_.value(now);
    options.ts_echo = answer ? timestamps_.echo() : 0;
  }
  if (answer) {
    header.flags |= kAck;
    header.ack = rcv_nxt_;
    if (ecn_ok_) header.flags |= kEce;  // RFC 3168 §6.1.1
  } else if (own().ecn && syn_sent_count_ == 1) {
    header.flags |= kEce | kCwr;  // RFC 3168 §6.1.1.1: not when the SYN is sent again
  }
}

bool Connection::dispatch_syn(Instant now, Outgoing& out, Owner& owner) {
  if (syn_at_ > now) return false;
  if (syn_sent_count_ >= own().syn_tries) {
    end(Ending::timed_out, owner);
    return false;
  }
  const Duration timeout =
      own().sender.rtt.rto_initial * (int64_t{1} << std::min<uint8_t>(syn_sent_count_, 16));
  ++syn_sent_count_;
  syn_at_ = now + std::min(timeout, own().sender.rtt.rto_max);
  if (syn_sent_count_ == 1) syn_first_ = now;
  fill_syn(now, out.header);
  out.header.window = window_.advertise_in_syn(rcv_nxt_, room(owner));
  last_ack_sent_ = rcv_nxt_;
  ack_.on_ack_sent();
  return true;
}

void Connection::fill_ack(Instant now, Segment& header, const Owner& owner) {
  header.flags |= kAck;
  header.ack = rcv_nxt_;
  header.window = window_.advertise(rcv_nxt_, room(owner), unread_bytes_);
  SegmentOptions& options = header.options;
  if (timestamps_ok_) {  // RFC 7323 §3.2: once agreed on, in every segment
    options.timestamps = true;
    options.ts_value = timestamps_.value(now);
    options.ts_echo = timestamps_.echo();
  }
  if (out_of_order_ && sack_ok_) {
    std::array<SeqRange, SackList::kBlocksMax> queued;
    const size_t n = out_of_order_->queue.ranges(queued);
    out_of_order_->sacks.advance(rcv_nxt_);
    options.sack_count = static_cast<uint8_t>(
        out_of_order_->sacks.build(timestamps_ok_, std::span(queued).first(n), options.sack));
    drop_out_of_order();
  }
  if (ecn_ok_ && ack_.ece()) header.flags |= kEce;
  last_ack_sent_ = rcv_nxt_;
  ack_.on_ack_sent();
}

namespace {

// RFC 6691 §2: options come out of the segment's size; blocks that do not fit beside the payload
// are left out. `space`: for payload and blocks.
void fit_blocks(Outgoing& out, uint32_t space) noexcept {
  const uint32_t left = space > out.bytes ? space - out.bytes : 0;
  const uint32_t blocks = left > 4 ? (left - 4) / 8 : 0;  // RFC 2018 §3, aligned
  SegmentOptions& options = out.header.options;
  options.sack_count = static_cast<uint8_t>(std::min<uint32_t>(options.sack_count, blocks));
}

}  // namespace

bool Connection::dispatch(Instant now, Outgoing& out, Owner& owner) {
  out.reset();
  out.ttl = own().ttl;
  out.dscp = dscp_;
  if (state_ != State::closed) run_timers(now, owner);
  if (reset_due_) {
    // RFC 9293 §3.10.5: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>; RFC 7323 §3.2: needs no timestamp.
    reset_due_ = false;
    out.header.seq = opened_ ? send_.nxt : iss_ + 1;
    out.header.ack = rcv_nxt_;
    out.header.flags = kRst | kAck;
    return true;
  }
  switch (state_) {
    case State::closed:
      return false;
    case State::syn_sent:
    case State::syn_received:
      if (dispatch_syn(now, out, owner)) return true;
      if (state_ != State::syn_received || !ack_.should_ack_now()) return false;
      out.header.seq = iss_ + 1;
      fill_ack(now, out.header, owner);
      return true;
    default:
      break;
  }
  // Data may leave no place for blocks that the peer needs now, so these go first and alone.
  const bool blocks_due = sack_ok_ && ack_.should_ack_now() && out_of_order_;
  if (sender_wanted()) (void)want_sender();  // for a FIN
  if (!blocks_due && sender_ && sending_state() && sender_->next(now, out)) {
    fill_ack(now, out.header, owner);
    if (out.bytes != 0) fit_blocks(out, send_.mss);
    return true;
  }
  const bool due = ack_.should_ack_now() || ack_.deadline() <= now;
  if (!due && !keep_alive_due_) return false;
  out.header.seq = send_.nxt;
  if (keep_alive_due_) {
    // RFC 9293 §3.8.4: an old octet makes the peer answer.
    keep_alive_due_ = false;
    out.header.seq = send_.nxt - 1;
  }
  fill_ack(now, out.header, owner);
  return true;
}

}  // namespace paste::tcp
