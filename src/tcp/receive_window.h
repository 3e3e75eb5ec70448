// The window that is advertised, and what of a segment lies in it.
#pragma once

#include <cstdint>

#include "tcp/instant.h"
#include "tcp/seq.h"

namespace paste::tcp {

// RFC 7323 §2.3: a larger shift is used as 14.
inline constexpr uint8_t kShiftMax = 14;

// The smallest shift with which `bytes` can be advertised.
[[nodiscard]] uint8_t shift_for(uint64_t bytes) noexcept;

// A segment as the acceptability test sees it.
struct SegmentSpan {
  Seq seq;               // of the SYN if there is one, else of the first byte
  uint32_t payload = 0;  // bytes
  bool syn = false;
  bool fin = false;
  [[nodiscard]] uint32_t length() const noexcept { return payload + (syn ? 1 : 0) + (fin ? 1 : 0); }
};

// RFC 9293 §3.10.7.4: the four cases by segment length and window, zero or not. `window` is
// RCV.WND in bytes. A caller that finds a segment not acceptable because the window is zero still
// processes its valid ACK, RST and URG (RFC 9293 MUST-66).
[[nodiscard]] bool acceptable(const SegmentSpan& segment, Seq rcv_nxt, uint32_t window) noexcept;

// What is left of an acceptable segment between rcv_nxt and the right edge of the window.
struct Trimmed {
  SegmentSpan kept;
  uint32_t skipped = 0;    // payload bytes cut off in front: old ones
  uint32_t cut_short = 0;  // payload bytes cut off at the end: beyond the window
};
// A SYN below rcv_nxt and a FIN beyond the window are cut off as bytes are.
[[nodiscard]] Trimmed trim(const SegmentSpan& segment, Seq rcv_nxt, uint32_t window) noexcept;

struct WindowConfig {
  uint32_t initial = 64 << 10;  // target at the start, bytes
  uint32_t max = 4 << 20;       // bound of the target, bytes; cut to 65535 << shift
  uint16_t mss = 1460;          // payload of a full-sized segment: what one buffer holds
  uint8_t shift = 0;            // cut to 14; 0 if scaling was not agreed on
};

// What the connection may still fill now: bytes and buffers granted to it and not in use.
struct Room {
  uint32_t bytes = 0;
  uint32_t buffers = 0;
};

// Invariant: the right edge never moves to the left (RFC 9293 SHLD-14), whatever Room says. What
// was offered before Room fell is therefore still accepted, and the owner of the buffers keeps a
// reserve for that (or coalesces).
//
//   usable = min(room.bytes, room.buffers × mss, target − unread)
//
// where target starts at `initial` and doubles what the program read in one round trip (dynamic
// right-sizing), and unread are bytes in order that the program has not read yet.
class ReceiveWindow {
 public:
  ReceiveWindow(WindowConfig config, Seq rcv_nxt) noexcept;

  // Computes the window field of the segment that is sent now and remembers what it promises.
  // REQUIRES: rcv_nxt >= any earlier one.
  [[nodiscard]] uint16_t advertise(Seq rcv_nxt, Room room, uint32_t unread) noexcept;
  // The field of a SYN is never scaled (RFC 7323 §2.2).
  [[nodiscard]] uint16_t advertise_in_syn(Seq rcv_nxt, Room room) noexcept;
  // Cheap: false if update_needed() cannot be true, whatever room there is.
  [[nodiscard]] bool may_need_update(Seq rcv_nxt) const noexcept {
    const uint32_t now = window(rcv_nxt);
    return now < 2U * mss_ || now <= target_ / 2;
  }
  // True if advertise() would now open the window enough for a segment of its own.
  [[nodiscard]] bool update_needed(Seq rcv_nxt, Room room, uint32_t unread) const noexcept;
  // RCV.WND: bytes that are accepted from rcv_nxt on. Exact, never less than what was advertised.
  [[nodiscard]] uint32_t window(Seq rcv_nxt) const noexcept {
    return right_edge_ > rcv_nxt ? SeqRange{rcv_nxt, right_edge_}.length() : 0;
  }
  // The same as the field of a segment that promises nothing new.
  [[nodiscard]] uint16_t field(Seq rcv_nxt) const noexcept {
    return static_cast<uint16_t>(window(rcv_nxt) >> shift_);
  }

  // Notes bytes that the program read. `rtt` is the best estimate known; zero: not known yet.
  void on_delivered(Instant now, Duration rtt, uint32_t bytes) noexcept;

  [[nodiscard]] uint32_t target() const noexcept { return target_; }
  [[nodiscard]] uint8_t shift() const noexcept { return shift_; }

 private:
  [[nodiscard]] uint32_t usable(Room room, uint32_t unread) const noexcept;
  [[nodiscard]] Seq next_edge(Seq rcv_nxt, uint32_t usable) const noexcept;

  Instant measured_from_ = kNever;
  Seq right_edge_;          // the largest ever advertised
  uint32_t target_;         // bytes
  uint32_t max_;            // bytes
  uint32_t delivered_ = 0;  // bytes since measured_from_
  uint16_t mss_;
  uint8_t shift_;
};

}  // namespace paste::tcp
