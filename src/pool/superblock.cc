#include "pool/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "pmem/guarded.h"

namespace paste::pool {

using base::crc32c_extend;
using base::crc32c_extend_value;
using base::crc32c_finish;
using base::kCrcInit;
using format::Superblock;

uint32_t uuid_state(const std::array<uint8_t, 16>& uuid) noexcept {
  return crc32c_extend_value(kCrcInit, uuid);
}

bool touches_bad(const pmem::Region& region, uint64_t offset, uint64_t length) noexcept {
  const auto& bad = region.bad_ranges();
  return std::any_of(bad.begin(), bad.end(), [&](const auto& range) {
    return range.first < offset + length && offset < range.first + range.second;
  });
}

uint32_t superblock_crc(const Superblock& super) noexcept {
  Superblock copy = super;
  copy.crc = 0;
  return base::crc32c({reinterpret_cast<const std::byte*>(&copy), sizeof copy});
}

void write_superblock(pmem::Region& region, Superblock super, uint32_t copy, pmem::Site site) {
  super.copy = copy;
  super.crc = superblock_crc(super);
  std::byte* at = region.data() + format::kSuperblockOffset[copy];
  std::memcpy(at, &super, sizeof super);
  region.flush(at, sizeof super, site);
}

namespace {

// The geometry that this version writes is the only one it accepts: the places are fixed.
bool sound_shard(const Superblock& super, uint64_t region_bytes) {
  const format::Shard& shard = super.shards[0];
  const uint64_t size = super.buffer_size;
  return super.shard_count == 1 && shard.publish_offset[0] == format::kPublishOffset[0] &&
         shard.publish_offset[1] == format::kPublishOffset[1] &&
         shard.publish_bytes == format::kPublishBytes &&
         shard.first_root == format::kFirstRootOffset / size &&
         shard.first_buffer == shard.first_root + 1 && shard.buffer_count > 0 &&
         (uint64_t{shard.first_buffer} + shard.buffer_count) * size <= region_bytes &&
         uint64_t{shard.first_buffer} + shard.buffer_count <= UINT32_MAX;
}

}  // namespace

Result<Superblock> read_superblock(const pmem::Region& region, uint32_t copy) {
  if (region.size() < kRegionBytesMin) return fail(Code::corrupt, "too small to be a pool");
  Superblock super;
  const std::byte* at = region.data() + format::kSuperblockOffset[copy];
  if (!pmem::guarded_read([&] { std::memcpy(&super, at, sizeof super); })) {
    return fail(Code::corrupt, "unreadable");
  }
  if (super.magic != format::kMagic) return fail(Code::corrupt, "not a pool (no magic number)");
  if (super.crc != superblock_crc(super)) return fail(Code::corrupt, "checksum does not match");
  if (super.version != format::kVersion) {
    return fail(Code::unsupported, fmt::format("pool format {}; this program knows {}",
                                               super.version, format::kVersion));
  }
  if ((super.incompatible & ~format::kKnownIncompatible) != 0) {
    return fail(Code::unsupported,
                fmt::format("the pool uses features that this program does not know (bits {:#x})",
                            super.incompatible & ~format::kKnownIncompatible));
  }
  if (super.buffer_size != format::kBufferSizeDefault &&
      super.buffer_size != format::kBufferSizeLarge) {
    return fail(Code::corrupt, "impossible buffer size");
  }
  if (super.domain < static_cast<uint32_t>(pmem::Domain::process) ||
      super.domain > static_cast<uint32_t>(pmem::Domain::memory)) {
    return fail(Code::corrupt, "impossible domain");
  }
  if (super.copy != copy) return fail(Code::corrupt, "copy in the wrong place");
  if (super.region_bytes > region.size()) {
    return fail(Code::corrupt, fmt::format("the pool has {} bytes but its file or device only {}",
                                           super.region_bytes, region.size()));
  }
  if (!sound_shard(super, super.region_bytes)) return fail(Code::corrupt, "impossible geometry");
  return super;
}

uint32_t root_page_crc(uint32_t state, const format::RootPageHeader& h) noexcept {
  state = crc32c_extend_value(state, h.magic);
  return crc32c_finish(crc32c_extend_value(state, h.page));
}

uint64_t root_page_check(uint32_t page, uint64_t next_page, uint64_t next_id) noexcept {
  uint32_t state = crc32c_extend_value(kCrcInit, page);
  state = crc32c_extend_value(state, next_page);
  return crc32c_finish(crc32c_extend_value(state, next_id));
}

uint64_t root_page_check(const format::RootPageHeader& h) noexcept {
  return root_page_check(h.page, h.next_page, h.next_id);
}

uint32_t root_entry_crc(const format::RootEntry& entry) noexcept {
  uint32_t state = crc32c_extend_value(kCrcInit, entry.id);
  state = crc32c_extend_value(state, entry.type);
  state = crc32c_extend_value(state, entry.name_length);
  const size_t length = std::min<size_t>(entry.name_length, format::kRootNameMax);
  return crc32c_finish(
      crc32c_extend(state, {reinterpret_cast<const std::byte*>(entry.name), length}));
}

uint64_t root_entry_check(uint64_t id, uint64_t live,
                          const uint64_t (&words)[format::kRootWords]) noexcept {
  uint32_t state = crc32c_extend_value(kCrcInit, id);
  state = crc32c_extend_value(state, live);
  for (const uint64_t word : words) state = crc32c_extend_value(state, word);
  return crc32c_finish(state) | (uint64_t{1} << 32);  // never 0, which means "never published"
}

}  // namespace paste::pool
