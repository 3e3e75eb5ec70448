// What a log looks like in its pool; docs/pool-format.md explains it. Little-endian.
#pragma once

#include <cstdint>

namespace paste::log::format {

enum class EntryType : uint8_t {
  none = 0,    // zeroed: nothing was ever written here
  range = 1,   // the record is one range of one buffer (or empty: buffer 0, length 0)
  pieces = 2,  // `buffer`, `offset` name the first piece list of the record
  link = 3,    // last place of a full page: `buffer` is the next page
  seal = 4,    // last place of a page with no link yet: vouches for everything before it
};

// A log page is full of these. The CRC32C covers: pool UUID, log id, LSN, the entry with crc = 0,
// then the record's bytes in order. So a stale, torn or misplaced entry or record never validates.
// For link and seal the LSN is that of the last record before them, and there are no bytes.
struct Entry {
  uint32_t buffer;
  uint16_t offset;
  uint8_t type;
  uint8_t flags;    // 0 in this version
  uint32_t length;  // of the record in bytes; of the first piece list's record: the whole
  uint32_t crc;
  uint64_t time_ns;    // arrival, wall clock
  uint32_t lag;        // LSN − durable LSN when it was written; 0 in a seal
  uint32_t auxiliary;  // the program's own; for pieces: length of the first piece list
};
static_assert(sizeof(Entry) == 32);

struct PageHeader {
  uint64_t log_id;
  uint64_t first_lsn;  // of the page's first entry
  uint32_t page;       // its own buffer name
  uint32_t crc;        // CRC32C of pool UUID, log_id, first_lsn, page
  // Published together: which records were deleted one by one (bit i: entry i).
  uint64_t deleted[2];
  uint64_t deleted_check;  // CRC32C of log_id, first_lsn, deleted; 0 while nothing is deleted
  uint64_t reserved[2];
};
static_assert(sizeof(PageHeader) == 64);

// Entries that hold records; the last place of the page is for a link or a seal.
constexpr uint32_t records_per_page(uint32_t buffer_size) {
  return (buffer_size - 64) / uint32_t{sizeof(Entry)} - 1;
}
static_assert(records_per_page(2048) == 61 && records_per_page(4096) == 125);

// The root words of a log.
inline constexpr uint32_t kWordHead = 0;   // buffer name of the first page
inline constexpr uint32_t kWordFirst = 1;  // LSN of the first record that is kept

}  // namespace paste::log::format
