// What a pool looks like in its region; docs/pool-format.md explains it with worked bytes.
// Readers and writers share these declarations. All integers are little-endian.
#pragma once

#include <array>
#include <cstdint>

#include "paste/slot.h"

namespace paste::pool::format {

inline constexpr uint64_t kMagic = 0x314C504554534150ull;  // "PASTEPL1" read as bytes
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kBufferSizeDefault = 2048;
inline constexpr uint32_t kBufferSizeLarge = 4096;

// Fixed places, in bytes from the start of the region. One shard's two publish areas lie behind
// the two superblock copies, so that no single bad 64 KiB takes both of either.
inline constexpr uint64_t kSuperblockBytes = 4096;
inline constexpr uint64_t kSuperblockOffset[2] = {0, 65536};
inline constexpr uint64_t kPublishOffset[2] = {4096, 69632};
inline constexpr uint64_t kPublishBytes = 61440;
inline constexpr uint64_t kFirstRootOffset = 131072;  // the first root page; buffers follow it

// A reader refuses a pool with an incompatible bit that it does not know; it ignores compatible
// ones.
inline constexpr uint64_t kKnownIncompatible = 0;
inline constexpr uint64_t kKnownCompatible = 0;

struct Shard {
  uint64_t publish_offset[2];
  uint64_t publish_bytes;
  uint32_t first_root;    // buffer name of the first root page
  uint32_t first_buffer;  // names [first_buffer, first_buffer + buffer_count) belong to the shard
  uint32_t buffer_count;
  uint32_t reserved;
};
static_assert(sizeof(Shard) == 40);

inline constexpr uint32_t kShardsMax = 16;

struct Superblock {
  uint64_t magic;
  uint32_t version;
  uint32_t crc;  // CRC32C of the whole struct with this field 0
  uint64_t compatible;
  uint64_t incompatible;
  std::array<uint8_t, 16> uuid;
  uint64_t region_bytes;
  uint64_t created_ns;  // wall clock
  uint32_t buffer_size;
  uint32_t domain;  // pmem::Domain that it was made for
  uint32_t copy;    // 0 or 1: which of the two this is
  uint32_t shard_count;
  Shard shards[kShardsMax];
};
static_assert(sizeof(Superblock) == 80 + 40 * kShardsMax && sizeof(Superblock) <= 4096);

// Root pages: a header, then root entries. The words change only through the publish list, each
// together with its check word.
enum class RootType : uint8_t { none = 0, log = 1, tree = 2, binding = 3 };
inline constexpr uint32_t kRootNameMax = 64;
inline constexpr uint32_t kRootWords = 3;

struct RootEntry {
  // The unchanging part: written and flushed while `live` is 0.
  uint64_t id;  // never reused in this pool; 0: never used
  uint8_t type;
  uint8_t name_length;
  uint16_t reserved0;
  uint32_t crc;  // CRC32C of id, type, name_length, name[0..name_length)
  char name[kRootNameMax];
  // The published part.
  uint64_t live;  // id, or 0 when the place is free
  uint64_t words[kRootWords];
  uint64_t check;  // CRC32C of id, live, words, with bit 32 set; 0 while live and all words are 0
  uint64_t reserved1;
};
static_assert(sizeof(RootEntry) == 128);

struct RootPageHeader {
  uint64_t magic;
  uint32_t page;  // its own buffer name: catches a misplaced page
  uint32_t crc;   // CRC32C of uuid, magic, page
  // Published together.
  uint64_t next_page;  // buffer name of the next root page, or 0
  uint64_t next_id;    // first page only: the next root id to give out
  uint64_t check;      // CRC32C of page, next_page, next_id
  uint64_t reserved[11];
};
static_assert(sizeof(RootPageHeader) == 128);
inline constexpr uint64_t kRootMagic = 0x45474150544F4F52ull;  // "ROOTPAGE"
constexpr uint32_t root_entries_per_page(uint32_t buffer_size) {
  return buffer_size / uint32_t{sizeof(RootEntry)} - 1;
}

// The publish list of a ticket: committed when commit == ticket ^ kCommitMagic and the CRC holds.
struct PublishItem {
  uint64_t offset;  // of the word, from the start of the region; a multiple of 8
  uint64_t value;
};
struct PublishHeader {
  uint64_t magic;
  uint64_t ticket;
  uint32_t count;
  uint32_t crc;  // CRC32C of uuid, ticket, count, items
  uint64_t reserved[4];
  uint64_t commit;
};
static_assert(sizeof(PublishHeader) == 64);
inline constexpr uint64_t kPublishMagic = 0x5453494C42555050ull;  // "PPUBLIST"
inline constexpr uint64_t kCommitMagic = 0xC0330A11D0E50001ull;
inline constexpr uint32_t kPublishItemsMax =
    (kPublishBytes - sizeof(PublishHeader)) / sizeof(PublishItem);

// A record longer than one range, or spread over several packets, is a chain of piece lists, each
// a byte range of a data buffer: this header, then `count` pieces.
struct Piece {
  uint32_t buffer;
  uint16_t offset;
  uint16_t length;  // 1 … buffer_size bytes
};
static_assert(sizeof(Piece) == sizeof(Slice));
struct PieceListHeader {
  uint32_t crc;  // CRC32C of uuid, the rest of this header, and the pieces
  uint16_t count;
  uint16_t next_offset;
  uint32_t next_buffer;  // the next piece list of the chain, or 0
  uint32_t next_length;  // its length in bytes
};
static_assert(sizeof(PieceListHeader) == 16);

}  // namespace paste::pool::format
