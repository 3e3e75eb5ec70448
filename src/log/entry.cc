#include "log/entry.h"

#include <bit>

#include "base/crc32c.h"

namespace paste::log {

using base::crc32c_extend_value;
using base::crc32c_finish;

uint32_t Bits::count(uint32_t from, uint32_t to) const noexcept {
  uint32_t sum = 0;
  for (uint32_t w = 0; w < words_.size(); ++w) {
    const uint32_t low = w * 64;
    const uint32_t begin = from > low ? from - low : 0;
    const uint32_t end = to > low ? to - low : 0;
    if (begin >= 64 || end <= begin) continue;
    uint64_t mask = ~uint64_t{0} << begin;
    if (end < 64) mask &= (uint64_t{1} << end) - 1;
    sum += static_cast<uint32_t>(std::popcount(words_[w] & mask));
  }
  return sum;
}

uint32_t Bits::highest() const noexcept {
  if (words_[1] != 0) return 127 - static_cast<uint32_t>(std::countl_zero(words_[1]));
  return 63 - static_cast<uint32_t>(std::countl_zero(words_[0]));
}

Bits Bits::from_words(const uint64_t (&words)[2]) noexcept {
  Bits bits;
  bits.words_ = {words[0], words[1]};
  return bits;
}

uint32_t log_seed(uint32_t pool_seed, uint64_t log_id) noexcept {
  return crc32c_extend_value(pool_seed, log_id);
}

uint32_t entry_state(uint32_t seed, Lsn lsn, Entry entry) noexcept {
  struct {
    Lsn lsn;
    Entry entry;
  } head = {lsn, entry};
  head.entry.crc = 0;
  return crc32c_extend_value(seed, head);
}

bool mark_valid(uint32_t seed, Lsn lsn, const Entry& entry, EntryType type) noexcept {
  return entry.type == static_cast<uint8_t>(type) && entry.flags == 0 && entry.length == 0 &&
         crc32c_finish(entry_state(seed, lsn, entry)) == entry.crc;
}

uint32_t header_crc(uint32_t pool_seed, const PageHeader& header) noexcept {
  uint32_t state = crc32c_extend_value(pool_seed, header.log_id);
  state = crc32c_extend_value(state, header.first_lsn);
  return crc32c_finish(crc32c_extend_value(state, header.page));
}

uint64_t deleted_check(uint64_t log_id, Lsn first_lsn, const Bits& deleted) noexcept {
  if (!deleted.any()) return 0;
  uint32_t state = crc32c_extend_value(base::kCrcInit, log_id);
  state = crc32c_extend_value(state, first_lsn);
  state = crc32c_extend_value(state, deleted.words()[0]);
  return crc32c_finish(crc32c_extend_value(state, deleted.words()[1]));
}

}  // namespace paste::log
