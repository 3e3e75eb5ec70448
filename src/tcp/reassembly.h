// The out-of-order queue: received payload that waits, in its own buffers, for a gap to be filled.
//
// Invariants
//  1. Pieces are sorted, disjoint, not empty, and never reach beyond a known FIN.
//  2. Each piece owns exactly one hold of its buffer. Two pieces of one buffer own two.
//  3. Bytes that arrived first win: an insert never changes what is queued, only the new slice is
//     trimmed (RFC 9293 §3.10.7.4 leaves the choice open; this one needs no release).
//  4. bytes() <= bytes_max and pieces() <= buffers_max, but for data that starts at rcv_nxt, which
//     is always taken: refusing what fills the gap would leave the queue full for ever.
// A piece counts as one buffer, so no peer pins more buffers here than buffers_max.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "paste/slot.h"
#include "tcp/seq.h"

namespace paste::tcp {

struct ReassemblyLimits {
  uint32_t bytes_max = 1 << 20;
  uint32_t buffers_max = 256;
  uint32_t coalesce_above = 64;  // pieces; insert() reports when there are more
  uint32_t gathered_max = 1024;  // bytes of a buffer that takes the place of several
};

enum class InsertOutcome : uint8_t {
  kept,             // at least one new byte is queued
  duplicate,        // every byte was there before, or lies below rcv_nxt
  beyond_fin,       // every new byte lies at or after a known FIN
  too_many_bytes,   // over bytes_max: not queued, so not acknowledged
  too_many_buffers  // over buffers_max: not queued, so not acknowledged
};

struct InsertResult {
  InsertOutcome outcome = InsertOutcome::duplicate;
  // Holds of the slice's buffer that the queue owns now. 0: the caller's one hold is still the
  // caller's. n > 0: the caller's hold moved to the queue, and the caller takes n - 1 more holds
  // of that buffer at once (queued bytes cut the slice into n pieces).
  uint32_t holds = 0;
  // The merged range around the first new byte, or, for a duplicate above rcv_nxt, around it.
  SeqRange range{};
  // The first bytes of the slice that had arrived before; empty if none (RFC 2883 §4).
  SeqRange duplicate{};
  bool should_coalesce = false;
};

// One connection's queue. Not thread-safe. Memory grows to 2 × buffers_max pieces of 12 bytes and
// is kept, so that nothing is allocated in steady state.
class Reassembly {
 public:
  explicit Reassembly(ReassemblyLimits limits) noexcept : limits_(limits) {}

  // Queues the bytes of `slice`, the first of which has sequence number `seq`; bytes below
  // `rcv_nxt` count as duplicates. Copies nothing. REQUIRES: the bytes lie within 2^30 of rcv_nxt.
  InsertResult insert(Seq rcv_nxt, Seq seq, Slice slice);

  // The next piece that `rcv_nxt` reaches, trimmed to its bytes at and after rcv_nxt; its hold is
  // the caller's. Length 0: the piece was wholly below rcv_nxt, and only its hold is to be dropped.
  // The caller adds the length to rcv_nxt and asks again until there is none.
  std::optional<Slice> pop(Seq rcv_nxt) noexcept;

  // A piece to be given up whatever its place, for closing a connection; its hold is the caller's.
  std::optional<Slice> pop_any() noexcept;

  // Remembers the position of the FIN: the number of the octet after the last byte. False, and
  // nothing changes, if another FIN is known or bytes beyond this one are queued.
  bool note_fin(Seq fin) noexcept;
  // True when everything before the FIN was received.
  [[nodiscard]] bool fin_known() const noexcept { return has_fin_; }
  [[nodiscard]] bool fin_reached(Seq rcv_nxt) const noexcept { return has_fin_ && rcv_nxt == fin_; }

  // Writes the merged ranges, lowest first; returns how many fitted.
  size_t ranges(std::span<SeqRange> out) const noexcept;

  // Replaces runs of adjacent short pieces by copies, until no run is left.
  // `copy(std::span<const Slice> pieces, uint32_t bytes) -> Slice` copies the pieces in order into
  // one fresh buffer, drops the hold of each and returns the copy with one hold; or it returns
  // length 0 and has done nothing, which ends the work. Runs are at most `run_bytes` long and at
  // least two pieces. Returns the number of pieces that became unnecessary.
  template <typename Copy>
  uint32_t coalesce(uint32_t run_bytes, Copy&& copy);

  [[nodiscard]] bool empty() const noexcept { return head_ == pieces_.size(); }
  [[nodiscard]] uint32_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint32_t pieces() const noexcept {
    return static_cast<uint32_t>(pieces_.size() - head_);
  }

  struct Piece {
    Seq begin;
    Slice slice;
    [[nodiscard]] Seq end() const noexcept { return begin + slice.length; }
  };
  using Storage = std::vector<Piece>;
  // With the allocation of an earlier queue.
  Reassembly(ReassemblyLimits limits, Storage&& storage) noexcept
      : limits_(limits), pieces_(std::move(storage)) {
    pieces_.clear();
  }
  [[nodiscard]] Storage take_storage() noexcept { return std::move(pieces_); }

 private:
  static_assert(sizeof(Piece) == 12);
  static constexpr size_t kRun = 64;

  [[nodiscard]] size_t first_ending_after(Seq seq) const noexcept;
  [[nodiscard]] SeqRange around(Seq seq) const noexcept;
  // The first part of [at, end) that is not queued; empty if there is none.
  [[nodiscard]] SeqRange next_gap(Seq at, Seq end) const noexcept;
  void note_duplicate(Seq rcv_nxt, SeqRange range, InsertResult& result) const noexcept;
  void compact() noexcept;

  ReassemblyLimits limits_;
  std::vector<Piece> pieces_;
  size_t head_ = 0;  // pieces before it were popped
  uint32_t bytes_ = 0;
  Seq fin_{};
  bool has_fin_ = false;
};

template <typename Copy>
uint32_t Reassembly::coalesce(uint32_t run_bytes, Copy&& copy) {
  compact();
  std::array<Slice, kRun> run;
  uint32_t saved = 0;
  size_t to = 0;
  bool willing = true;
  for (size_t from = 0; from < pieces_.size();) {
    size_t n = 0;
    uint32_t total = 0;
    while (willing && from + n < pieces_.size() && n < kRun &&
           total + pieces_[from + n].slice.length <= run_bytes &&
           total + pieces_[from + n].slice.length <= UINT16_MAX &&
           (n == 0 || pieces_[from + n].begin == pieces_[from + n - 1].end())) {
      run[n] = pieces_[from + n].slice;
      total += run[n++].length;
    }
    Piece merged = pieces_[from];
    if (n >= 2) {
      const Slice made = copy(std::span<const Slice>(run.data(), n), total);
      willing = made.length != 0;
      if (willing) merged.slice = made;
    }
    const size_t used = n >= 2 && willing ? n : 1;
    pieces_[to++] = merged;
    from += used;
    saved += static_cast<uint32_t>(used - 1);
  }
  pieces_.resize(to);
  return saved;
}

}  // namespace paste::tcp
