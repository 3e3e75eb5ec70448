// Timestamps and the protection against old duplicates that they give (RFC 7323).
#pragma once

#include <cstdint>

#include "tcp/instant.h"
#include "tcp/seq.h"

namespace paste::tcp {

// Values of two clocks modulo 2^32, compared as sequence numbers are (RFC 7323 §5.2).
constexpr int32_t ts_distance(uint32_t a, uint32_t b) noexcept {
  return static_cast<int32_t>(a - b);
}

// One connection's timestamp state, for a connection that agreed on the option. 16 bytes.
class Timestamps {
 public:
  // RFC 7323 §5.5: TS.Recent is no longer valid when the connection was idle for 24 days.
  static constexpr uint32_t kIdleSeconds = 24 * 24 * 3600;

  // `offset` is keyed by the connection, so that values tell neither the uptime nor connect two
  // connections (RFC 7323 §5.4); timestamp_offset() in isn.h makes one.
  explicit Timestamps(uint32_t offset = 0) noexcept : offset_(offset) {}

  // TSval of a segment sent now: 1 ms ticks (RFC 7323 §5.4: between 1 ms and 1 s).
  [[nodiscard]] uint32_t value(Instant now) const noexcept {
    return static_cast<uint32_t>(now.ns / 1'000'000) + offset_;
  }
  // TSecr of a segment with ACK.
  [[nodiscard]] uint32_t echo() const noexcept { return recent_; }
  [[nodiscard]] bool has_recent() const noexcept { return has_recent_; }
  // The time since the segment whose TSval came back as `tsecr` was sent, in whole ticks.
  [[nodiscard]] Duration since(uint32_t tsecr, Instant now) const noexcept;

  // Takes TSval of a SYN unconditionally.
  void start(uint32_t tsval, Instant now) noexcept;
  // True if a segment with `tsval` is an old duplicate: it is dropped, and answered with an ACK.
  // Never for a segment with RST.
  [[nodiscard]] bool rejects(uint32_t tsval, bool rst, Instant now) const noexcept;
  // Notes the timestamp of an acceptable segment (one that rejects() let through).
  void update(Seq seg_seq, uint32_t tsval, Seq last_ack_sent, Instant now) noexcept;

 private:
  uint32_t offset_;
  uint32_t recent_ = 0;      // TS.Recent
  uint32_t recent_age_ = 0;  // when TS.Recent was set, in seconds
  bool has_recent_ = false;
};
static_assert(sizeof(Timestamps) == 16);

}  // namespace paste::tcp
