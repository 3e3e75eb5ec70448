#include "tcp/receive_window.h"

#include <algorithm>

namespace paste::tcp {

uint8_t shift_for(uint64_t bytes) noexcept {
  uint8_t shift = 0;
  while (shift < kShiftMax && (uint64_t{65535} << shift) < bytes) ++shift;
  return shift;
}

bool acceptable(const SegmentSpan& segment, Seq rcv_nxt, uint32_t window) noexcept {
  const uint32_t length = segment.length();
  const SeqRange open{rcv_nxt, rcv_nxt + window};
  // RFC 9293 §3.10.7.4: length 0, window 0.
  if (length == 0 && window == 0) return segment.seq == rcv_nxt;
  // RFC 9293 §3.10.7.4: length 0, window > 0.
  if (length == 0) return open.contains(segment.seq);
  // RFC 9293 §3.10.7.4: length > 0, window 0.
  if (window == 0) return false;
  // RFC 9293 §3.10.7.4: length > 0, window > 0: the first or the last octet lies in the window. A
  // segment longer than the window may have both outside and its middle inside; it is taken, too.
  return segment.seq < open.end && segment.seq + length > rcv_nxt;
}

Trimmed trim(const SegmentSpan& segment, Seq rcv_nxt, uint32_t window) noexcept {
  Trimmed result{segment, 0, 0};
  SegmentSpan& kept = result.kept;
  if (kept.syn && kept.seq < rcv_nxt) {
    kept.syn = false;
    kept.seq += 1;
  }
  if (!kept.syn && kept.seq < rcv_nxt) {
    const uint32_t old = SeqRange{kept.seq, rcv_nxt}.length();
    result.skipped = std::min(old, kept.payload);
    kept.payload -= result.skipped;
    kept.seq += result.skipped;
    // Everything up to and with the FIN was received before.
    if (old > result.skipped && kept.fin) {
      kept.fin = false;
      kept.seq += 1;
    }
  }
  const Seq edge = rcv_nxt + window;
  const Seq data_begin = kept.seq + (kept.syn ? 1u : 0u);
  const Seq data_end = data_begin + kept.payload;
  if (data_end > edge) {
    result.cut_short = std::min(SeqRange{edge, data_end}.length(), kept.payload);
    kept.payload -= result.cut_short;
  }
  if (data_end >= edge) kept.fin = false;
  return result;
}

ReceiveWindow::ReceiveWindow(WindowConfig config, Seq rcv_nxt) noexcept
    : right_edge_(rcv_nxt), mss_(config.mss), shift_(std::min(config.shift, kShiftMax)) {
  max_ = std::min<uint32_t>(config.max, uint32_t{65535} << shift_);
  target_ = std::min(config.initial, max_);
}

uint32_t ReceiveWindow::usable(Room room, uint32_t unread) const noexcept {
  const uint64_t by_buffers = uint64_t{room.buffers} * mss_;
  const uint32_t by_target = target_ > unread ? target_ - unread : 0;
  const uint32_t bytes = std::min(room.bytes, by_target);
  return static_cast<uint32_t>(std::min<uint64_t>(bytes, by_buffers));
}

// RFC 9293 MUST-39: the edge stands still until it can move by min(RCV.BUFF / 2, MSS), which is
// the avoidance of silly windows by the receiver (RFC 9293 §3.8.6.2.2).
Seq ReceiveWindow::next_edge(Seq rcv_nxt, uint32_t room) const noexcept {
  const Seq wanted = rcv_nxt + room;
  const auto step = static_cast<int32_t>(std::min<uint32_t>(target_ / 2, mss_));
  // RFC 9293 SHLD-14: the right edge never moves to the left.
  return wanted - right_edge_ >= step ? wanted : right_edge_;
}

uint16_t ReceiveWindow::advertise(Seq rcv_nxt, Room room, uint32_t unread) noexcept {
  right_edge_ = max(right_edge_, rcv_nxt);
  const uint32_t can = usable(room, unread);
  const uint32_t window = SeqRange{rcv_nxt, next_edge(rcv_nxt, can)}.length();
  // Rounded up while there is room, so that the edge does not seem to step back; rounded down
  // otherwise: the promise then stays below a scale unit short of right_edge_ (RFC 7323 §2.4).
  const uint32_t unit = uint32_t{1} << shift_;
  const uint32_t up = (window + unit - 1) >> shift_;
  const uint32_t field = std::min((up << shift_) <= can ? up : window >> shift_, 65535u);
  right_edge_ = max(right_edge_, rcv_nxt + (field << shift_));
  return static_cast<uint16_t>(field);
}

uint16_t ReceiveWindow::advertise_in_syn(Seq rcv_nxt, Room room) noexcept {
  // RFC 9293 SHLD-14: a SYN that is sent again promises no less.
  const uint32_t field = std::min(std::max(usable(room, 0), window(rcv_nxt)), 65535u);
  right_edge_ = max(right_edge_, rcv_nxt + field);
  return static_cast<uint16_t>(field);
}

bool ReceiveWindow::update_needed(Seq rcv_nxt, Room room, uint32_t unread) const noexcept {
  const uint32_t now = window(rcv_nxt);
  const uint32_t can = usable(room, unread);
  if (next_edge(rcv_nxt, can) == right_edge_) return false;
  // A sender that is not nearly blocked learns of the new edge with the next acknowledgement; one
  // that sees less than two segments or half the target needs to be told.
  return can > now && (now < 2u * mss_ || can - now >= target_ / 2);
}

void ReceiveWindow::on_delivered(Instant now, Duration rtt, uint32_t bytes) noexcept {
  if (measured_from_ == kNever) measured_from_ = now;
  delivered_ = delivered_ > UINT32_MAX - bytes ? UINT32_MAX : delivered_ + bytes;
  if (rtt <= Duration(0) || now - measured_from_ < rtt) return;
  // What was read in one round trip is at least the sender's window; offering twice that lets slow
  // start double it once more. A round that took longer counts for its share.
  const auto elapsed = static_cast<uint64_t>((now - measured_from_).count());
  const auto per_round = static_cast<double>(delivered_) * static_cast<double>(rtt.count()) /
                         static_cast<double>(elapsed);
  const double wanted = 2 * per_round + 2.0 * mss_;
  if (wanted > target_) target_ = wanted < max_ ? static_cast<uint32_t>(wanted) : max_;
  delivered_ = 0;
  measured_from_ = now;
}

}  // namespace paste::tcp
