// What a sender is made with, and where its slices go back to.
#pragma once

#include <cstdint>

#include "paste/slot.h"
#include "tcp/congestion.h"
#include "tcp/pacing.h"
#include "tcp/rtt.h"
#include "tcp/seq.h"

namespace paste::tcp {

struct SenderOptions {
  RttOptions rtt;
  CongestionOptions congestion;
  PacingOptions pacing;
  uint32_t slices_max = 1024;   // queued and not acknowledged
  uint32_t records_max = 4096;  // segments in flight
  // RFC 9293 §3.8.3: R2: how long data may stay unacknowledged; at least 100 s by default.
  Duration user_timeout = std::chrono::seconds(120);
  // RFC 8201 §4: how long a path that let less pass is believed to; at least 5 minutes.
  Duration path_age = std::chrono::minutes(10);
  bool nagle = true;  // RFC 9293 MUST-17: can be switched off
  // Segments as nearly all are take a short way with the same outcome; a test compares both.
  bool short_ways = true;
};

// What the handshake agreed on.
struct SenderStart {
  Seq first;            // of the first data byte: ISS + 1
  uint32_t mss = 536;   // payload of a full-sized segment, options deducted
  uint32_t window = 0;  // bytes the peer offers now
  Seq window_seq{};     // SND.WL1
  Seq window_ack{};     // SND.WL2
  bool sack = false;
  bool ecn = false;
  bool syn_was_retransmitted = false;
  Duration handshake_rtt{0};  // 0: no sample
};

struct SenderCounters {
  uint64_t segments = 0, retransmits = 0, timeouts = 0, recoveries = 0, probes = 0;
  uint64_t window_probes = 0, spurious = 0, congestion_marks = 0;
};

class SliceSink {
 public:
  // A written slice is not needed any more: its hold is the callee's.
  virtual void acknowledged(Slice slice, uint64_t cookie) = 0;

 protected:
  ~SliceSink() = default;
};

}  // namespace paste::tcp
