#include "tcp/frto.h"

namespace paste::tcp {

void Frto::on_timeout(Seq una, Seq nxt, bool again) noexcept {
  // RFC 5682 §3.1 step 1: not while an earlier timeout's recovery goes on, since what is then
  // acknowledged may be its retransmissions; nor if nothing is outstanding.
  if (again || una == nxt) {
    state_ = State::idle;
    return;
  }
  recovery_point_ = nxt;
  state_ = State::first;
}

Frto::Verdict Frto::on_ack(const Ack& ack) noexcept {
  const bool advanced = ack.una > ack.una_before;
  switch (state_) {
    case State::idle:
      return Verdict::inactive;
    case State::first:
      // RFC 5682 §3.1 step 2: duplicates only adjust the scoreboard.
      if (!advanced) return Verdict::undecided;
      // RFC 5682 §3.1 step 2a: everything is acknowledged, so nothing more can be learnt.
      if (ack.una >= recovery_point_) return end(Verdict::genuine);
      // RFC 5682 §3.1 step 2b.
      state_ = State::second;
      return Verdict::send_new;
    case State::second:
      // RFC 5682 §3.1 step 3a: the new data arrived before the old: the old is missing.
      if (ack.above_recovery_point) return end(Verdict::genuine);
      // RFC 5682 §3.1 step 3b: segments sent once only are arriving: the timer was too early.
      if (ack.original_delivered && (advanced || ack.newly_sacked)) return end(Verdict::spurious);
      // RFC 5682 §3.1 step 3: a duplicate without news decides nothing.
      return Verdict::undecided;
  }
  return Verdict::inactive;
}

}  // namespace paste::tcp
