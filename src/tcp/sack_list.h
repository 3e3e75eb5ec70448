// What the next acknowledgement reports as received out of order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tcp/seq.h"

namespace paste::tcp {

// Invariants
//  1. Blocks are disjoint, most recently changed first (RFC 2018 §4).
//  2. After advance(rcv_nxt) no block reaches below rcv_nxt; only a D-SACK may (RFC 2883 §4).
class SackList {
 public:
  static constexpr size_t kBlocksMax = 4;                // RFC 2018 §3: 40 bytes of options
  static constexpr size_t kBlocksMaxWithTimestamps = 3;  // RFC 2018 §3: 12 bytes less

  // Notes that the merged range `range` grew, or was received again: it is reported first.
  // REQUIRES: `range` is the whole contiguous range as the out-of-order queue holds it.
  void add(SeqRange range) noexcept;
  // Notes bytes received twice; reported once, by the next build(). The first one noted wins.
  void set_duplicate(SeqRange range) noexcept;
  // Forgets what the cumulative acknowledgement covers.
  void advance(Seq rcv_nxt) noexcept;
  // Writes the blocks of one acknowledgement and returns how many. A D-SACK comes first and is
  // then forgotten. `queued` are ranges of the out-of-order queue; they fill the places that
  // remembered blocks leave free (RFC 2018 §4: as many distinct blocks as possible).
  // An acknowledgement that is built is sent.
  size_t build(bool timestamps, std::span<const SeqRange> queued,
               std::span<SeqRange, kBlocksMax> out) noexcept;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0 && duplicate_.empty(); }

 private:
  std::array<SeqRange, kBlocksMax> blocks_{};
  SeqRange duplicate_{};
  uint8_t count_ = 0;
};

}  // namespace paste::tcp
