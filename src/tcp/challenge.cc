#include "tcp/challenge.h"

#include <algorithm>

namespace paste::tcp {

Admit admit_reset(Seq seg_seq, Seq rcv_nxt, uint32_t window) noexcept {
  // RFC 5961 §3.2: also with a closed window the exact number resets.
  if (seg_seq == rcv_nxt) return Admit::accept;
  return SeqRange{rcv_nxt, rcv_nxt + window}.contains(seg_seq) ? Admit::challenge : Admit::drop;
}

Admit admit_ack(Seq seg_ack, const AckBounds& bounds) noexcept {
  const Seq lowest = bounds.snd_una - bounds.max_snd_wnd;
  return lowest <= seg_ack && seg_ack <= bounds.snd_nxt ? Admit::accept : Admit::challenge;
}

bool ChallengeLimiter::allow(Instant now, uint64_t random, ChallengeState& connection) noexcept {
  const auto tick = static_cast<uint32_t>(now.ns >> 29) + 1;
  // The connection's own limit comes first, so that one attacked connection spends little of the
  // budget of all.
  if (connection.last_tick != 0 && tick - connection.last_tick < 2 && tick != 0) {
    ++refused_;
    return false;
  }
  const uint64_t second = now.ns / 1'000'000'000;
  if (second != second_) {
    second_ = second;
    budget_ = limit_ / 2 + static_cast<uint32_t>(random % std::max(limit_, 1u));
  }
  if (budget_ == 0) {
    ++refused_;
    return false;
  }
  --budget_;
  connection.last_tick = std::max(tick, 1u);
  return true;
}

}  // namespace paste::tcp
