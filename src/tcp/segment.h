// Segments as the engine sees them: header fields in host order, payload as slices of buffers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "paste/slot.h"
#include "tcp/seq.h"

namespace paste::tcp {

// RFC 9293 §3.1, RFC 3168 §6.1.
enum Flag : uint8_t {
  kFin = 0x01,
  kSyn = 0x02,
  kRst = 0x04,
  kPsh = 0x08,
  kAck = 0x10,
  kUrg = 0x20,
  kEce = 0x40,
  kCwr = 0x80,
};

// The options that the engine uses; what is absent has its default.
struct SegmentOptions {
  static constexpr uint8_t kNoShift = 255;
  static constexpr size_t kSackMax = 4;  // RFC 2018 §3

  uint16_t mss = 0;          // 0: absent
  uint8_t shift = kNoShift;  // window scale, RFC 7323 §2
  bool sack_permitted = false;
  bool timestamps = false;
  uint32_t ts_value = 0;
  uint32_t ts_echo = 0;
  uint8_t sack_count = 0;
  std::array<SeqRange, kSackMax> sack{};

  [[nodiscard]] std::span<const SeqRange> blocks() const noexcept {
    return {sack.data(), sack_count};
  }
};

struct Segment {
  Seq seq;
  Seq ack;              // meaningful with kAck
  uint16_t window = 0;  // the field, not scaled
  uint16_t urgent = 0;  // the pointer; meaningful with kUrg
  uint8_t flags = 0;
  bool ce = false;   // received: the IP header says Congestion Experienced (RFC 3168 §5)
  bool ect = false;  // to send: mark the packet ECN-capable
  SegmentOptions options;
  Slice payload{};  // received: length 0 if there is none

  [[nodiscard]] bool has(uint8_t flag) const noexcept { return (flags & flag) != 0; }
  // SEG.LEN (RFC 9293 §3.3.1).
  [[nodiscard]] uint32_t length() const noexcept {
    return payload.length + (has(kSyn) ? 1U : 0U) + (has(kFin) ? 1U : 0U);
  }
};

// RFC 9293 §3.10.7.1: the reset that answers a segment for a connection that does not exist; none
// for a reset.
[[nodiscard]] std::optional<Segment> reset_for(const Segment& segment) noexcept;

// A segment to send. The payload lies in slices of buffers that stay held until acknowledged.
struct Outgoing {
  static constexpr size_t kSlicesMax = 16;
  Segment header;  // `payload` is not used
  std::array<Slice, kSlicesMax> slices{};
  uint32_t slice_count = 0;
  uint32_t bytes = 0;
  uint8_t ttl = 64;  // or hop limit
  uint8_t dscp = 0;  // RFC 2474, six bits

  [[nodiscard]] std::span<const Slice> payload() const noexcept {
    return {slices.data(), slice_count};
  }
  // As new; what lies behind the slices in use does not matter.
  void reset() noexcept {
    header = {};
    slice_count = bytes = 0;
    ttl = 64;
    dscp = 0;
  }
};

}  // namespace paste::tcp
