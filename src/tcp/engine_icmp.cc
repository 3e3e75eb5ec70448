// Engine and Connection: what the network says about segments that we sent.
#include <algorithm>

#include "tcp/engine.h"

namespace paste::tcp {

// RFC 9293 MUST-54: an error is for the connection that caused it.
void Engine::icmp(const IcmpError& error, Instant now) {
  const auto found = by_tuple_.find(error.tuple);
  if (found == by_tuple_.end()) {
    ++counters_.icmp_ignored;
    return;
  }
  running_ = *found;
  touch(*found);
  const bool believed = place(*found).connection->icmp(error, is_v4(error.tuple.local), now, *this);
  ++(believed ? counters_.icmp_taken : counters_.icmp_ignored);
}

bool Connection::icmp(const IcmpError& error, bool v4, Instant now, Owner& owner) {
  // RFC 5927 §4.1: it must quote what is in flight; nobody off the path knows that.
  const bool in_flight = state_ == State::syn_sent || state_ == State::syn_received
                             ? error.seq == iss_ && syn_sent_count_ > 0
                             : opened_ && error.seq >= send_.una && error.seq < send_.nxt;
  if (!in_flight || state_ == State::closed) return false;
  switch (error.kind) {
    case IcmpError::Kind::soft:
      owner.soft_error(SoftError::unreachable);
      return true;  // RFC 9293 MUST-56: no reason to abort; the timers go on
    case IcmpError::Kind::hard:
      // RFC 5927 §5.2: a connection that has been open is not aborted for it. One that never was
      // has nothing to lose (RFC 1122 §4.2.3.9).
      if (state_ == State::syn_sent) {
        end(Ending::refused, owner);
      } else {
        owner.soft_error(SoftError::other);
      }
      return true;
    case IcmpError::Kind::too_big:
      break;
  }
  const uint32_t headers = (v4 ? 40U : 60U) + (timestamps_ok_ ? 12U : 0U);
  if (!opened_) return false;
  const uint32_t told = error.mtu != 0 ? error.mtu : next_plateau(send_.mss + headers);
  const uint32_t mss = std::max(told, v4 ? kMtuMinV4 : kMtuMinV6) - headers;
  if (mss >= send_.mss) return false;  // RFC 1191 §3: a message never raises it
  // RFC 5927 §7.2: what is said to be too big has been acknowledged before: only if it stays
  // unacknowledged now is the message believed.
  if (mss < send_.mss_acked && !(sender_ && sender_->timed_out())) return false;
  lower_mss(mss, now);
  return true;
}

void Connection::lower_mss(uint32_t mss, Instant now) {
  send_.mss_acked = 0;
  if (!sender_) {
    send_.mss = static_cast<uint16_t>(mss);
    send_.mss_tried = now;
    return;
  }
  sender_->begin_burst();
  sender_->lower_mss(mss, now);
}

}  // namespace paste::tcp
