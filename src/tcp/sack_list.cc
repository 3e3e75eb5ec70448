#include "tcp/sack_list.h"

#include <algorithm>

namespace paste::tcp {
namespace {

constexpr bool touch(SeqRange a, SeqRange b) { return a.begin <= b.end && b.begin <= a.end; }

}  // namespace

void SackList::add(SeqRange range) noexcept {
  if (range.empty()) return;
  // RFC 2018 §4: the first block contains the segment that triggered the acknowledgement; the
  // others repeat the most recently reported ones, without what the first contains.
  std::array<SeqRange, kBlocksMax> next{};
  size_t n = 0;
  next[n++] = range;
  for (size_t i = 0; i < count_ && n < next.size(); ++i) {
    if (!touch(blocks_[i], range)) next[n++] = blocks_[i];
  }
  blocks_ = next;
  count_ = static_cast<uint8_t>(n);
}

void SackList::set_duplicate(SeqRange range) noexcept {
  if (duplicate_.empty()) duplicate_ = range;
}

void SackList::advance(Seq rcv_nxt) noexcept {
  uint8_t n = 0;
  for (size_t i = 0; i < count_; ++i) {
    SeqRange block = blocks_[i];
    if (block.end <= rcv_nxt) continue;
    block.begin = max(block.begin, rcv_nxt);
    blocks_[n++] = block;
  }
  count_ = n;
}

size_t SackList::build(bool timestamps, std::span<const SeqRange> queued,
                       std::span<SeqRange, kBlocksMax> out) noexcept {
  const size_t limit = timestamps ? kBlocksMaxWithTimestamps : kBlocksMax;
  size_t n = 0;
  // RFC 2883 §4: the duplicate comes first, is reported once, and may lie below the
  // acknowledgement; the block that contains it, if any, follows.
  if (!duplicate_.empty()) out[n++] = duplicate_;
  duplicate_ = {};
  for (size_t i = 0; i < count_ && n < limit; ++i) out[n++] = blocks_[i];
  for (const SeqRange& range : queued) {
    if (n >= limit) break;
    const auto known = blocks_.begin() + count_;
    if (std::none_of(blocks_.begin(), known, [&](SeqRange b) { return touch(b, range); })) {
      out[n++] = range;
    }
  }
  return n;
}

}  // namespace paste::tcp
