#include "tcp/rack.h"

#include <algorithm>

namespace paste::tcp {
namespace {
// RFC 8985 §6.2 step 2: RACK_sent_after(): by time, then by sequence.
bool sent_after(Instant t1, Seq end1, Instant t2, Seq end2) noexcept {
  return t1 > t2 || (t1 == t2 && end1 > end2);
}
}  // namespace

bool Rack::newest_sent_after(const SentRecord& record) const noexcept {
  return any_delivered_ && sent_after(xmit_ts_, end_seq_, record.last_sent, record.end());
}

void Rack::on_delivered(const SentRecord& record, Instant now, Duration min_rtt,
                        bool echoed_before_retransmission) noexcept {
  const Seq end = record.end();
  // RFC 8985 §6.2 step 3: reordering is what was never sent twice and arrives below what arrived.
  if (!any_delivered_ || end > fack_) {
    fack_ = end;
  } else if (end < fack_ && !record.retransmitted()) {
    reordering_seen_ = true;
  }
  const Duration rtt = now - record.last_sent;
  if (record.retransmitted()) {
    // RFC 8985 §6.2 step 2: an acknowledgement too early for the retransmission is the original's.
    if (echoed_before_retransmission || rtt < min_rtt) return;
  }
  if (any_delivered_ && !sent_after(record.last_sent, end, xmit_ts_, end_seq_)) return;
  any_delivered_ = true;
  rtt_ = rtt;
  xmit_ts_ = record.last_sent;
  end_seq_ = end;
}

void Rack::on_ack(const Ack& ack, const Scoreboard& scoreboard) noexcept {
  // RFC 8985 §6.2 step 4: the window grows at most once in a round trip.
  if (dsack_round_ && ack.una >= *dsack_round_) dsack_round_.reset();
  if (ack.dsack && !dsack_round_) {
    dsack_round_ = ack.nxt;
    multiplier_ = std::min(multiplier_ + 1, kMultiplierMax);
    persist_ = kPersist;
  }
  // RFC 8985 §6.2 step 4: without reordering so far, do not wait once recovery is due anyway.
  if (!reordering_seen_ &&
      (ack.in_recovery || scoreboard.sacked_records() >= Scoreboard::kDupThresh)) {
    reo_wnd_ = Duration(0);
    return;
  }
  reo_wnd_ = std::min<Duration>(ack.min_rtt * int64_t{multiplier_} / 4, ack.srtt);
}

void Rack::on_recovery_ended() noexcept {
  if (persist_ > 0) --persist_;
  if (persist_ == 0) multiplier_ = 1;
}

Rack::Detected Rack::detect_losses(Scoreboard& scoreboard, Instant now) const noexcept {
  Detected detected;
  if (!any_delivered_) return detected;
  for (uint32_t i = 0; i < scoreboard.size(); ++i) {
    const SentRecord& record = scoreboard[i];
    // Everything behind was sent for the first time later still, so RACK has nothing to say of it.
    if (record.first_sent > xmit_ts_) break;
    if (record.sacked || (record.lost && !record.retransmission_in_flight)) continue;
    if (!newest_sent_after(record)) continue;
    const Instant due = record.last_sent + rtt_ + reo_wnd_;
    if (due <= now) {
      scoreboard.mark_lost(i);
      ++detected.lost;
    } else {
      // RFC 8985 §6.2 step 5: the timer waits for the last of them, to mark them together.
      detected.deadline = detected.deadline == kNever ? due : std::max(detected.deadline, due);
    }
  }
  return detected;
}

uint32_t Rack::mark_losses_on_rto(Scoreboard& scoreboard, Instant now) const noexcept {
  uint32_t lost = 0;
  for (uint32_t i = 0; i < scoreboard.size(); ++i) {
    const SentRecord& record = scoreboard[i];
    if (record.sacked || (record.lost && !record.retransmission_in_flight)) continue;
    if (i == 0 || record.last_sent + rtt_ + reo_wnd_ <= now) {
      scoreboard.mark_lost(i);
      ++lost;
    }
  }
  return lost;
}

Instant TailLossProbe::deadline(const Timing& timing) noexcept {
  Duration pto = kUnmeasuredTimeout;
  if (timing.srtt.count() > 0) {
    pto = 2 * timing.srtt;
    if (timing.one_segment_in_flight) pto += timing.max_ack_delay;
  }
  return std::min(timing.now + pto, timing.rto_expires);
}

void TailLossProbe::on_probe_sent(Seq end, bool is_retransmission) noexcept {
  end_seq_ = end;
  is_retrans_ = is_retransmission;
}

bool TailLossProbe::on_ack(const Ack& ack) noexcept {
  if (!end_seq_ || ack.ack < *end_seq_) return false;
  if (!is_retrans_) {
    end_seq_.reset();  // RFC 8985 §7.4.2: new data arrived; RACK sees any loss
    return false;
  }
  if (ack.dsack && ack.dsack->end == *end_seq_) {
    end_seq_.reset();  // RFC 8985 §7.4.2: the original and the probe arrived
    return false;
  }
  if (ack.ack > *end_seq_) {
    // RFC 8985 §7.4.2: later data is acknowledged and no duplicate was reported: the probe filled
    // the hole.
    end_seq_.reset();
    return true;
  }
  // RFC 8985 §7.4.2: a bare duplicate acknowledgement tells that both arrived.
  if (ack.duplicate && !ack.has_sack_blocks) end_seq_.reset();
  return false;
}

}  // namespace paste::tcp
