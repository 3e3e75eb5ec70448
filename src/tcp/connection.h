// One connection: the state machine of RFC 9293 §3.3.2 around a Sender and a receiving half.
//
// Sans-IO. Two entry points carry everything: process() takes a segment that arrived, dispatch()
// gives at most one segment to send; next_deadline() tells when dispatch() is to be called without
// an arrival. After each call of process(), write(), consumed(), shutdown(), close() or abort(),
// call dispatch() until it returns false.
//
// LISTEN is no state of a connection: whoever listens makes one for each SYN.
// Invariants
//  1. Each received buffer's hold is passed on exactly once: to Owner::deliver or Owner::release.
//  2. Each written slice's hold comes back exactly once through Owner::acknowledged, also when the
//     connection ends otherwise.
//  3. No wrong use and no segment makes it abort the program; wrong use returns an error.
#pragma once

#include <optional>

#include "paste/result.h"
#include "tcp/ack_policy.h"
#include "tcp/icmp_error.h"
#include "tcp/receive_window.h"
#include "tcp/segment.h"
#include "tcp/shared.h"
#include "tcp/timestamps.h"

namespace paste::tcp {

class Connection {
 public:
  // What identifies and protects the connection, from the engine's keyed functions.
  struct Identity {
    Seq iss;
    uint32_t timestamp_offset = 0;
    uint16_t default_mss = 536;  // RFC 9293 MUST-15; IPv6: 1220
  };

  // Active open: SYN-SENT.
  Connection(Shared& shared, Identity identity, Instant now) noexcept;
  // Passive open for `syn`: SYN-RECEIVED. REQUIRES: SYN, neither ACK nor RST.
  Connection(Shared& shared, Identity identity, const Segment& syn, Instant now) noexcept;

  // Somebody else has answered the SYN, `sent` times since `first`, with handshake_window(): the
  // ACK comes next. `sent` 0: nobody remembers.
  void resume_handshake(uint8_t sent, Instant first) noexcept;
  // The window field of a SYN-ACK, whatever the buffers in use.
  [[nodiscard]] static uint16_t handshake_window(const ConnectionOptions& options) noexcept;

  // Takes over the hold of `segment.payload` (if its length is not 0) whatever becomes of it.
  // Returns a reset to be sent at once, if the RFC asks for one that dispatch() cannot give.
  std::optional<Segment> process(const Segment& segment, Instant now, Owner& owner);
  // False: nothing to send now.
  [[nodiscard]] bool dispatch(Instant now, Outgoing& out, Owner& owner);
  bool icmp(const IcmpError& error, bool v4, Instant now, Owner& owner);
  // Right after dispatch() returned true: it would now return false.
  [[nodiscard]] bool at_rest() const noexcept {
    return !ack_.should_ack_now() && !reset_due_ && !keep_alive_due_ && syn_at_ == kNever &&
           (sender_ ? sender_->at_rest() : !send_.fin_queued || send_.fin_sent);
  }
  // When to call dispatch() next; in the past if there is something to send. kNever if closed.
  [[nodiscard]] Instant next_deadline(Instant now) const noexcept;

  // Errors: closed (not open, or shut down before), busy (too much is queued, here or by all
  // connections together: write again later), invalid, too_large.
  [[nodiscard]] Result<> write(Slice slice, uint64_t cookie);
  // The program has used `bytes` in `buffers` of what was delivered: the window may open.
  void consumed(Instant now, uint32_t bytes, uint32_t buffers, const Owner& owner);
  // What was written so far is urgent: RFC 9293 §3.8.5. Error: closed.
  [[nodiscard]] Result<> mark_urgent();
  // How many of the bytes to be read are urgent (RFC 9293 MUST-33).
  [[nodiscard]] uint32_t urgent_bytes() const noexcept;
  [[nodiscard]] Result<> shutdown();  // after what was written: a half-close. Error: closed
  // shutdown(), and what arrives is answered with a reset (SHLD-3). In SYN-SENT: the end.
  [[nodiscard]] Result<> close();
  // RFC 9293 §3.10.5: with a reset, if the state has one.
  void abort(Owner& owner);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] Ending ending() const noexcept { return ending_; }
  // The peer sent FIN and everything before it was delivered.
  [[nodiscard]] bool peer_finished() const noexcept { return peer_finished_; }
  [[nodiscard]] Seq rcv_nxt() const noexcept { return rcv_nxt_; }
  [[nodiscard]] uint16_t advertised() const noexcept { return window_.field(rcv_nxt_); }
  [[nodiscard]] bool opened() const noexcept { return opened_; }
  [[nodiscard]] const SendState& send_state() const noexcept { return send_; }
  // nullptr while nothing waits to be sent or is in flight, and for some time more or less.
  [[nodiscard]] const Sender* sender() const noexcept { return sender_.get(); }
  [[nodiscard]] const Timestamps* timestamps() const noexcept {
    return timestamps_ok_ ? &timestamps_ : nullptr;
  }
  [[nodiscard]] const ConnectionDrops& drops() const noexcept { return shared_.drops; }
  [[nodiscard]] const SenderCounters& sent() const noexcept { return shared_.sent; }
  [[nodiscard]] uint32_t out_of_order_buffers() const noexcept {
    return out_of_order_ ? out_of_order_->queue.pieces() : 0;
  }
  void set_keep_alive(bool on, Instant now) noexcept;  // RFC 9293 MUST-24
  void set_dscp(uint8_t dscp) noexcept { dscp_ = dscp & 0x3F; }
  void set_nagle(bool on) noexcept { send_.nagle = on; }

 private:
  static constexpr Duration kSenderRetry = std::chrono::milliseconds(10);

  void take_urgent(const Segment& segment, Owner& owner);
  void lower_mss(uint32_t mss, Instant now);
  [[nodiscard]] bool take_expected(const Segment& segment, Instant now, Owner& owner);

  // Arrival (connection_arrival.cc), in the order of RFC 9293 §3.10.7.
  std::optional<Segment> arrive_in_syn_sent(const Segment& segment, Instant now, Owner& owner);
  void start_receiving(Seq irs, Instant now);
  void agree(const SegmentOptions& peer, bool peer_ecn, Instant now) noexcept;
  void become_established(const Segment& segment, Instant now) noexcept;
  [[nodiscard]] bool check_timestamp(const Segment& segment, Instant now);
  [[nodiscard]] bool check_sequence(const Segment& segment, Instant now, Owner& owner);
  [[nodiscard]] bool check_reset_and_syn(const Segment& segment, Instant now, Owner& owner);
  [[nodiscard]] bool check_ack(const Segment& segment, Instant now, std::optional<Segment>& reset);
  void take_ack(const Segment& segment, Instant now, Owner& owner);
  void after_fin_acked(Instant now);
  bool take_data(const Segment& segment, Instant now, Owner& owner);
  void take_payload(Slice slice, Owner& owner);
  void note_duplicate(SeqRange range);
  void queue_payload(Seq seq, Slice slice, Arrival& arrival, Owner& owner);
  [[nodiscard]] bool want_out_of_order();
  void drop_out_of_order() noexcept {
    if (out_of_order_ && out_of_order_->unused()) out_of_order_.release();
  }
  void deliver_in_order(Owner& owner);
  void take_fin(Instant now);
  void challenge(Instant now, Owner& owner);
  void drop_payload(const Segment& segment, Owner& owner) const;
  void end(Ending ending, Owner& owner);

  // Sending (connection.cc).
  void run_timers(Instant now, Owner& owner);
  [[nodiscard]] bool want_sender();
  [[nodiscard]] bool sender_wanted() const noexcept {
    return !sender_ && send_.fin_queued && !send_.fin_sent;
  }
  [[nodiscard]] Instant retire_at() const noexcept {
    return sender_ && sender_->idle() ? send_.last_sent + send_.rtt.rto() : kNever;
  }
  [[nodiscard]] bool dispatch_syn(Instant now, Outgoing& out, Owner& owner);
  void fill_syn(Instant now, Segment& header) const noexcept;
  void fill_ack(Instant now, Segment& header, const Owner& owner);
  [[nodiscard]] bool sending_state() const noexcept;
  [[nodiscard]] Room room(const Owner& owner) const noexcept;
  // No peer pins more, however small its segments are.
  [[nodiscard]] bool pins_too_much() const noexcept {
    return unread_buffers_ != 0 && unread_buffers_ + out_of_order_buffers() >= own().buffers_max;
  }
  [[nodiscard]] uint32_t window_of(const Segment& segment) const noexcept {
    return uint32_t{segment.window} << send_shift_;
  }

  [[nodiscard]] const ConnectionOptions& own() const noexcept { return shared_.options; }

  Shared& shared_;
  Slab<Sender>::Lease sender_;
  Slab<OutOfOrder>::Lease out_of_order_;
  SendState send_;
  AckPolicy ack_;
  ReceiveWindow window_;
  Timestamps timestamps_;
  ChallengeState challenges_;

  Seq iss_;
  Seq irs_{};
  Seq rcv_nxt_{};
  Seq last_ack_sent_{};
  Seq urgent_{};  // RCV.UP, if urgent_known_
  uint32_t peer_window_ = 0;
  uint32_t unread_bytes_ = 0;
  uint32_t unread_buffers_ = 0;
  Instant syn_at_ = kNever;  // when to send SYN or SYN-ACK (again)
  Instant syn_first_{};
  Instant time_wait_until_ = kNever;
  Instant heard_{};  // the last segment from the peer
  Instant keep_alive_at_ = kNever;
  uint16_t peer_mss_ = 536;
  uint8_t send_shift_ = 0;
  uint8_t receive_shift_ = 0;  // what we offer
  uint8_t syn_sent_count_ = 0;
  uint8_t keep_alive_sent_ = 0;
  State state_;
  Ending ending_ = Ending::none;
  bool passive_ = false;
  bool sack_ok_ = false;
  bool timestamps_ok_ = false;
  bool scale_ok_ = false;
  bool ecn_ok_ = false;
  bool opened_ = false;
  bool urgent_known_ = false;
  bool keep_alive_ = false;
  uint8_t dscp_ = 0;
  bool finish_wanted_ = false;  // shutdown() before ESTABLISHED
  bool discard_ = false;        // close(): nobody reads any more
  bool peer_finished_ = false;
  bool reset_due_ = false;
  bool keep_alive_due_ = false;
};

}  // namespace paste::tcp
