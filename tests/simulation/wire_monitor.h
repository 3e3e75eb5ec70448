// A passive observer of one connection's frames, in both directions, that knows TCP's rules and
// nothing of the engine.
//
// Rules. What an end sends is judged by what was delivered to it before:
//  - data lies inside the largest window offered to it, probes of one octet aside, leaves no hole,
//    and with its options is no larger than the MSS announced to it (RFC 9293 §3.7.1);
//  - an acknowledgement covers only what arrived and never goes back; the right edge of the window
//    never moves to the left by a scale unit or more (RFC 9293 SHLD-14);
//  - SACK blocks lie in what arrived and above the acknowledgement; only the first may lie below it
//    or inside the second (RFC 2883 §4), and the next holds what arrived last (RFC 2018 §4);
//  - whose FIN was acknowledged sends neither data nor FIN: TIME-WAIT only acknowledges;
//  - MSS, scale and SACK-permitted are only in SYNs; timestamps, once agreed on, in every segment
//    but resets (RFC 7323 §3.2), and never smaller than before;
//  - nothing lies behind FIN, which keeps its place;
//  - ECT, ECE and CWR need an agreement, ECT also new data (RFC 3168 §6.1);
//  - two full-sized segments, or 500 ms, bring an acknowledgement (RFC 9293 MUST-40, SHLD-19).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "port/sim/link.h"
#include "tcp/packet.h"

namespace paste::simulation {

class WireMonitor {
 public:
  struct Options {
    // Frames that end (0 or 1) has dropped before its TCP saw them; they need no acknowledgement.
    std::function<uint64_t(int end)> not_taken = nullptr;
    // Segments that its TCP dropped; rules on what it answers to them do not hold.
    std::function<uint64_t(int end)> dropped = nullptr;
    bool at_once = true;  // each frame is answered before the next is delivered
    std::array<bool, 2> judged = {true, true};
  };
  explicit WireMonitor(Options options);
  WireMonitor() : WireMonitor(Options{}) {}
  WireMonitor(const WireMonitor&) = delete;
  WireMonitor& operator=(const WireMonitor&) = delete;

  // To be attached to the link that `end` sends on. The monitor outlives the link's use of it.
  [[nodiscard]] sim::LinkObserver& sender_tap(int end) noexcept { return taps_[index(end)]; }

  // The first rule that was broken, or "".
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] uint64_t frames() const noexcept { return frames_; }

 private:
  class Tap final : public sim::LinkObserver {
   public:
    Tap(WireMonitor& monitor, int end) : monitor_(monitor), end_(end) {}
    void sent(tcp::Instant now, Bytes frame) override { monitor_.on_sent(now, end_, frame); }
    void delivered(tcp::Instant now, Bytes frame) override {
      monitor_.on_delivered(now, 1 - end_, frame);
    }

   private:
    WireMonitor& monitor_;
    int end_;
  };

  // What one end has sent and what has reached it.
  struct End {
    tcp::FourTuple tuple;         // as its peer sees it
    tcp::SegmentOptions offered;  // by its SYN
    tcp::Seq iss, sent_end, fin, last_ack, edge;
    tcp::Seq irs, peer_ack, known_edge;  // the last two: the largest that reached it
    uint32_t last_timestamp = 0;
    uint16_t peer_mss = 536;
    std::vector<tcp::SeqRange> arrived;  // disjoint, in order, not adjacent
    uint64_t not_taken = 0;
    uint64_t dropped = 0;
    tcp::SeqRange newest{};  // that arrived, and was not answered yet
    bool fin_acked = false;
    uint32_t owed_bytes = 0;
    uint32_t full_size = 0;
    tcp::Instant owed_since = tcp::kNever;
    bool syn_sent = false, fin_sent = false, ack_sent = false, timestamp_sent = false;
    bool syn_arrived = false, window_known = false, ecn_asked = false, ecn_agreed = false;
    bool gone = false;  // a reset passed
  };

  [[nodiscard]] static size_t index(int end) noexcept { return static_cast<size_t>(end); }
  [[nodiscard]] End& at(int end) noexcept { return ends_[index(end)]; }
  void on_sent(tcp::Instant now, int end, Bytes frame);
  void on_delivered(tcp::Instant now, int end, Bytes frame);

  void check_syn(int end, const tcp::Segment& segment);
  void check_options(int end, const tcp::Segment& segment, uint32_t option_bytes);
  void check_data(int end, const tcp::Segment& segment);
  void check_ack(int end, const tcp::Segment& segment);
  void check_blocks(int end, const tcp::Segment& segment);
  void check_ecn(int end, const tcp::Segment& segment, uint8_t ecn);
  void check_owed(tcp::Instant now, int end);
  void forget_dropped(int end);
  void note_arrival(tcp::Instant now, int end, const tcp::Segment& segment);
  [[nodiscard]] bool scaled() const noexcept;
  [[nodiscard]] bool timestamps() const noexcept;
  [[nodiscard]] tcp::Seq edge_of(int end, const tcp::Segment& segment) const noexcept;
  void complain(int end, const tcp::Segment& segment, const char* what);

  Options options_;
  std::array<Tap, 2> taps_;
  std::array<End, 2> ends_;
  std::string problem_;
  uint64_t frames_ = 0;
  tcp::Instant now_{};
};

}  // namespace paste::simulation
