// Which 4 KiB blocks of a region the filling ticket has changed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "pmem/mapping.h"

namespace paste::pmem {

inline constexpr unsigned kBlockShift = 12;
static_assert(uint64_t{1} << kBlockShift == kPage);

// Blocks [first, first+count).
struct BlockRun {
  uint32_t first;
  uint32_t count;
};

// Room for every block is reserved at the start, so nothing is allocated later; memory that is
// never touched costs nothing.
class DirtySet {
 public:
  // REQUIRES: blocks <= 2^32 - 1.
  explicit DirtySet(uint64_t blocks) : marked_((blocks + 63) / 64) {
    dirty_.reserve(blocks);
    runs_.reserve((blocks + 1) / 2 + blocks / kRunBlocksMax + 1);
  }

  // Marks every block that [offset, offset+n) touches.
  void mark(uint64_t offset, uint64_t n) noexcept {
    if (n == 0) return;
    const auto last = static_cast<uint32_t>((offset + n - 1) >> kBlockShift);
    for (auto block = static_cast<uint32_t>(offset >> kBlockShift); block <= last; ++block) {
      uint64_t& word = marked_[block / 64];
      const uint64_t bit = uint64_t{1} << (block % 64);
      if ((word & bit) != 0) continue;
      word |= bit;
      dirty_.push_back(block);
    }
  }

  [[nodiscard]] bool empty() const noexcept { return dirty_.empty(); }

  // The marked blocks as runs of at most kRunBlocksMax, ascending, and the set is empty again.
  // The runs are valid until the next take().
  [[nodiscard]] std::span<const BlockRun> take() noexcept {
    std::sort(dirty_.begin(), dirty_.end());
    runs_.clear();
    for (const uint32_t block : dirty_) {
      marked_[block / 64] = 0;
      if (!runs_.empty() && runs_.back().first + runs_.back().count == block &&
          runs_.back().count < kRunBlocksMax) {
        ++runs_.back().count;
      } else {
        runs_.push_back({block, 1});
      }
    }
    dirty_.clear();
    return runs_;
  }

  static constexpr uint32_t kRunBlocksMax = 256;  // 1 MiB: longer writes gain nothing on any disk

 private:
  std::vector<uint64_t> marked_;  // one bit a block
  std::vector<uint32_t> dirty_;   // the same blocks, in order of marking
  std::vector<BlockRun> runs_;
};

}  // namespace paste::pmem
