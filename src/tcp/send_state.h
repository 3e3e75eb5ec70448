// What of a connection's sending half lasts as long as the connection: the send sequence variables
// of RFC 9293 §3.3.1, the round-trip time, and the congestion window over a pause.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tcp/congestion.h"
#include "tcp/instant.h"
#include "tcp/rtt.h"
#include "tcp/sender_options.h"
#include "tcp/seq.h"

namespace paste::tcp {

// Not thread-safe. Everything that matters only while bytes wait or are in flight is the Sender's.
struct SendState {
  SendState() = default;
  SendState(const SenderOptions& options, const SenderStart& start, Instant now) noexcept;

  // RFC 9293 §3.10.7.4 (fifth, ESTABLISHED): an older segment does not change the window.
  // What acknowledges more is newer too, even if it carries old data again; without it the old
  // window would move on with una.
  void update_window(Seq seg_seq, Seq seg_ack, uint32_t seg_window) noexcept {
    if (window_ack < seg_ack || window_seq < seg_seq ||
        (window_seq == seg_seq && window_ack <= seg_ack)) {
      window = seg_window;
      max_window = std::max(max_window, seg_window);
      window_seq = max(window_seq, seg_seq);
      window_ack = seg_ack;
    }
  }
  [[nodiscard]] bool fin_acked() const noexcept { return fin_sent && una == nxt; }
  [[nodiscard]] uint32_t flight() const noexcept { return nxt.value - una.value; }

  RttEstimator rtt;
  Instant last_sent{};
  ParkedWindow parked;      // while no Sender runs
  Seq una{};                // SND.UNA
  Seq nxt{};                // SND.NXT
  Seq window_seq{};         // SND.WL1
  Seq window_ack{};         // SND.WL2
  uint32_t window = 0;      // SND.WND
  uint32_t max_window = 0;  // the largest ever offered
  Seq urgent{};             // SND.UP, if urgent_sent
  uint16_t mss = 536;       // payload of a full-sized segment
  uint16_t mss_acked = 0;   // the largest payload that was acknowledged (RFC 5927 §7.2)
  uint16_t mss_full = 536;  // what the ends agreed on; more than `mss` if the path let less pass
  Instant mss_tried{};      // when the path was last found, or asked, to let less pass
  bool sack = false;
  bool ecn = false;
  bool nagle = true;
  bool fin_queued = false;
  bool fin_sent = false;
  bool urgent_sent = false;
};

}  // namespace paste::tcp
