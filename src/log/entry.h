// Entries and page headers: how they are sealed by checksums, and when one counts. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "log/format.h"
#include "paste/slot.h"
#include "paste/units.h"

namespace paste::log {

using format::Entry;
using format::EntryType;
using format::PageHeader;

// One bit for each entry of a page.
class Bits {
 public:
  [[nodiscard]] bool test(uint32_t i) const noexcept {
    return (words_[i / 64] >> (i % 64) & 1) != 0;
  }
  void set(uint32_t i) noexcept { words_[i / 64] |= uint64_t{1} << (i % 64); }
  [[nodiscard]] bool any() const noexcept { return (words_[0] | words_[1]) != 0; }
  // Set bits in [from, to).
  [[nodiscard]] uint32_t count(uint32_t from, uint32_t to) const noexcept;
  [[nodiscard]] uint32_t highest() const noexcept;  // REQUIRES: any()
  [[nodiscard]] const std::array<uint64_t, 2>& words() const noexcept { return words_; }
  static Bits from_words(const uint64_t (&words)[2]) noexcept;

 private:
  std::array<uint64_t, 2> words_{};
};
static_assert(format::records_per_page(4096) <= 128);

// CRC state after pool UUID (`pool_seed`) and log id: what every checksum of a log's entries
// starts from.
[[nodiscard]] uint32_t log_seed(uint32_t pool_seed, uint64_t log_id) noexcept;

// CRC state after the LSN and the entry with crc = 0; the record's bytes come next.
[[nodiscard]] uint32_t entry_state(uint32_t seed, Lsn lsn, Entry entry) noexcept;

// True for an entry of `type` that validates and names no bytes: a link, or a seal.
[[nodiscard]] bool mark_valid(uint32_t seed, Lsn lsn, const Entry& entry, EntryType type) noexcept;

// The last LSN that a valid entry with this LSN knows to be durable.
[[nodiscard]] constexpr Lsn vouched_by(Lsn lsn, const Entry& entry) noexcept {
  return entry.lag < lsn ? lsn - entry.lag : 0;
}

[[nodiscard]] uint32_t header_crc(uint32_t pool_seed, const PageHeader& header) noexcept;

// The check word of the deleted bits; 0 while nothing is deleted.
[[nodiscard]] uint64_t deleted_check(uint64_t log_id, Lsn first_lsn, const Bits& deleted) noexcept;

// The places of a page, in memory.
[[nodiscard]] inline PageHeader* header_of(std::byte* page) noexcept {
  return reinterpret_cast<PageHeader*>(page);
}
[[nodiscard]] inline Entry* entries_of(std::byte* page) noexcept {
  return reinterpret_cast<Entry*>(page + sizeof(PageHeader));
}

}  // namespace paste::log
