#include "tcp/timestamps.h"

namespace paste::tcp {
namespace {

uint32_t seconds(Instant t) { return static_cast<uint32_t>(t.ns / 1'000'000'000); }

}  // namespace

Duration Timestamps::since(uint32_t tsecr, Instant now) const noexcept {
  const int32_t ticks = ts_distance(value(now), tsecr);
  return std::chrono::milliseconds(ticks < 0 ? 0 : ticks);
}

void Timestamps::start(uint32_t tsval, Instant now) noexcept {
  recent_ = tsval;
  recent_age_ = seconds(now);
  has_recent_ = true;
}

bool Timestamps::rejects(uint32_t tsval, bool rst, Instant now) const noexcept {
  // RFC 7323 §5.3 R1: a reset is not subject to PAWS.
  if (rst || !has_recent_) return false;
  if (ts_distance(tsval, recent_) >= 0) return false;
  // RFC 7323 §5.5: after 24 idle days the peer's clock may have wrapped.
  return seconds(now) - recent_age_ <= kIdleSeconds;
}

void Timestamps::update(Seq seg_seq, uint32_t tsval, Seq last_ack_sent, Instant now) noexcept {
  // RFC 7323 §4.3: the segment that starts at or before the last acknowledgement is the one whose
  // timestamp a delayed acknowledgement echoes; later or out-of-order ones are not.
  if (seg_seq > last_ack_sent) return;
  const bool stale = has_recent_ && seconds(now) - recent_age_ > kIdleSeconds;
  if (!has_recent_ || stale || ts_distance(tsval, recent_) >= 0) start(tsval, now);
}

}  // namespace paste::tcp
