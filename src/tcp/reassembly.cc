#include "tcp/reassembly.h"

#include <algorithm>

#include "base/check.h"

namespace paste::tcp {

size_t Reassembly::first_ending_after(Seq seq) const noexcept {
  const auto first = pieces_.begin() + static_cast<std::ptrdiff_t>(head_);
  const auto found =
      std::partition_point(first, pieces_.end(), [seq](const Piece& p) { return p.end() <= seq; });
  return static_cast<size_t>(found - pieces_.begin());
}

SeqRange Reassembly::around(Seq seq) const noexcept {
  size_t i = first_ending_after(seq);
  if (i == pieces_.size() || pieces_[i].begin > seq) return {seq, seq};
  size_t last = i;
  while (i > head_ && pieces_[i - 1].end() == pieces_[i].begin) --i;
  while (last + 1 < pieces_.size() && pieces_[last].end() == pieces_[last + 1].begin) ++last;
  return {pieces_[i].begin, pieces_[last].end()};
}

SeqRange Reassembly::next_gap(Seq at, Seq end) const noexcept {
  for (size_t i = first_ending_after(at); at < end; ++i) {
    if (i == pieces_.size() || pieces_[i].begin >= end) return {at, end};
    if (pieces_[i].begin > at) return {at, pieces_[i].begin};
    at = pieces_[i].end();
  }
  return {end, end};
}

// RFC 2883 §4: the first contiguous bytes of this segment that had been received before.
void Reassembly::note_duplicate(Seq rcv_nxt, SeqRange range, InsertResult& result) const noexcept {
  if (range.begin < rcv_nxt) {
    result.duplicate = {range.begin, min(range.end, rcv_nxt)};
    return;
  }
  for (size_t i = first_ending_after(range.begin); i < pieces_.size(); ++i) {
    const Seq begin = max(pieces_[i].begin, range.begin);
    const Seq end = min(pieces_[i].end(), range.end);
    if (begin >= range.end) return;
    if (result.duplicate.empty()) {
      result.duplicate = {begin, end};
    } else if (result.duplicate.end == begin) {
      result.duplicate.end = end;
    } else {
      return;
    }
  }
}

InsertResult Reassembly::insert(Seq rcv_nxt, Seq seq, Slice slice) {
  InsertResult result;
  SeqRange range{seq, seq + slice.length};
  note_duplicate(rcv_nxt, range, result);
  range.begin = max(range.begin, rcv_nxt);
  const bool cut_by_fin = has_fin_ && range.end > fin_;
  if (cut_by_fin) range.end = fin_;
  uint32_t parts = 0;
  uint32_t bytes = 0;
  const Seq end = range.begin < range.end ? range.end : range.begin;
  const SeqRange first = next_gap(range.begin, end);
  for (SeqRange gap = first; !gap.empty(); gap = next_gap(gap.end, end)) {
    ++parts;
    bytes += gap.length();
  }
  if (parts == 0) {
    if (cut_by_fin) result.outcome = InsertOutcome::beyond_fin;
    if (range.begin < end) result.range = around(range.begin);
    return result;
  }
  if (first.begin != rcv_nxt) {
    if (bytes_ + bytes > limits_.bytes_max) result.outcome = InsertOutcome::too_many_bytes;
    if (pieces() + parts > limits_.buffers_max) result.outcome = InsertOutcome::too_many_buffers;
    if (result.outcome != InsertOutcome::duplicate) return result;
  }
  compact();
  for (SeqRange gap = first; !gap.empty(); gap = next_gap(gap.end, end)) {
    const uint32_t skip = SeqRange{seq, gap.begin}.length();
    const Slice part{slice.buffer, static_cast<uint16_t>(slice.offset + skip),
                     static_cast<uint16_t>(gap.length())};
    const size_t place = first_ending_after(gap.begin);
    pieces_.insert(pieces_.begin() + static_cast<std::ptrdiff_t>(place), Piece{gap.begin, part});
  }
  bytes_ += bytes;
  result.outcome = InsertOutcome::kept;
  result.holds = parts;
  result.range = around(first.begin);
  result.should_coalesce = pieces() > limits_.coalesce_above;
  return result;
}

std::optional<Slice> Reassembly::pop(Seq rcv_nxt) noexcept {
  if (empty() || pieces_[head_].begin > rcv_nxt) return std::nullopt;
  Piece piece = pieces_[head_++];
  bytes_ -= piece.slice.length;
  if (empty()) compact();
  if (piece.begin < rcv_nxt) {
    const uint32_t below = SeqRange{piece.begin, rcv_nxt}.length();
    const auto skip = static_cast<uint16_t>(std::min<uint32_t>(below, piece.slice.length));
    piece.slice.offset = static_cast<uint16_t>(piece.slice.offset + skip);
    piece.slice.length = static_cast<uint16_t>(piece.slice.length - skip);
  }
  return piece.slice;
}

std::optional<Slice> Reassembly::pop_any() noexcept {
  if (empty()) return std::nullopt;
  return pop(pieces_[head_].begin);
}

bool Reassembly::note_fin(Seq fin) noexcept {
  if (has_fin_) return fin == fin_;
  if (!empty() && pieces_.back().end() > fin) return false;
  fin_ = fin;
  has_fin_ = true;
  return true;
}

size_t Reassembly::ranges(std::span<SeqRange> out) const noexcept {
  size_t n = 0;
  for (size_t i = head_; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    if (n > 0 && out[n - 1].end == piece.begin) {
      out[n - 1].end = piece.end();
    } else if (n < out.size()) {
      out[n++] = {piece.begin, piece.end()};
    } else {
      break;
    }
  }
  return n;
}

void Reassembly::compact() noexcept {
  if (head_ == 0) return;
  pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(head_));
  head_ = 0;
}

}  // namespace paste::tcp
