// Superblocks and the checksums of fixed structures.
#pragma once

#include <string>

#include "base/crc32c.h"
#include "pmem/region.h"
#include "pool/format.h"

namespace paste::pool {

inline constexpr uint64_t kRegionBytesMin = 256 * 1024;

[[nodiscard]] uint32_t uuid_state(const std::array<uint8_t, 16>& uuid) noexcept;
[[nodiscard]] uint32_t superblock_crc(const format::Superblock& super) noexcept;
// Sets `copy` and the CRC, stores and flushes. FLUSHED.
void write_superblock(pmem::Region& region, format::Superblock super, uint32_t copy,
                      pmem::Site site);

// The region's medium has lost some of these bytes.
[[nodiscard]] bool touches_bad(const pmem::Region& region, uint64_t offset,
                               uint64_t length) noexcept;

// Reads one copy. Errors: corrupt (with what is wrong), unsupported (version, feature bits).
// Everything in it is bounds-checked against the region: it may be believed afterwards.
[[nodiscard]] Result<format::Superblock> read_superblock(const pmem::Region& region, uint32_t copy);

[[nodiscard]] uint32_t root_page_crc(uint32_t uuid_state, const format::RootPageHeader& h) noexcept;
[[nodiscard]] uint64_t root_page_check(const format::RootPageHeader& header) noexcept;
[[nodiscard]] uint64_t root_page_check(uint32_t page, uint64_t next_page,
                                       uint64_t next_id) noexcept;
[[nodiscard]] uint32_t root_entry_crc(const format::RootEntry& entry) noexcept;
[[nodiscard]] uint64_t root_entry_check(uint64_t id, uint64_t live,
                                        const uint64_t (&words)[format::kRootWords]) noexcept;

}  // namespace paste::pool
