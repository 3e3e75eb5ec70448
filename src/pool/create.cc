// Formatting a region.
#include <array>
#include <cstring>

#include "base/crc32c.h"
#include "base/random.h"
#include "base/time.h"
#include "pool/core.h"
#include "pool/superblock.h"

namespace paste::pool {

using format::Superblock;

Result<void> Core::create(pmem::Region& region, const CreateOptions& options) {
  const uint32_t size = options.buffer_size;
  if (size != format::kBufferSizeDefault && size != format::kBufferSizeLarge) {
    return fail(Code::invalid, "a buffer has 2048 or 4096 bytes");
  }
  if (region.size() < kRegionBytesMin) {
    return fail(Code::invalid, "a region for a pool has at least 256 KiB");
  }
  if (region.size() / size > UINT32_MAX) {
    return fail(Code::too_large, "a pool has at most 2^32 buffers; use larger ones");
  }
  if (touches_bad(region, 0, format::kFirstRootOffset + size)) {
    return fail(Code::io, "bad memory where the pool's fixed structures belong");
  }
  Superblock super{};
  super.magic = format::kMagic;
  super.version = format::kVersion;
  std::array<uint64_t, 2> identity{};
  base::fill_random(identity);
  std::memcpy(super.uuid.data(), identity.data(), super.uuid.size());
  super.region_bytes = region.size();
  super.created_ns = base::wall_ns();
  super.buffer_size = size;
  super.domain = static_cast<uint32_t>(region.domain());
  super.shard_count = 1;
  format::Shard& shard = super.shards[0];
  shard.publish_offset[0] = format::kPublishOffset[0];
  shard.publish_offset[1] = format::kPublishOffset[1];
  shard.publish_bytes = format::kPublishBytes;
  shard.first_root = static_cast<uint32_t>(format::kFirstRootOffset / size);
  shard.first_buffer = shard.first_root + 1;
  shard.buffer_count = static_cast<uint32_t>(region.size() / size) - shard.first_buffer;

  // Everything fixed, zeroed first: a device may hold an older pool.
  std::memset(region.data(), 0, format::kFirstRootOffset + size);
  auto* root = reinterpret_cast<format::RootPageHeader*>(region.data() + format::kFirstRootOffset);
  root->magic = format::kRootMagic;
  root->page = shard.first_root;
  root->crc = root_page_crc(uuid_state(super.uuid), *root);
  root->next_id = 1;
  root->check = root_page_check(*root);
  region.flush(region.data(), format::kFirstRootOffset + size, Site::root_entry);
  // The superblocks last: until they are durable, this is not a pool.
  PASTE_TRY(region.begin_barrier(Site::barrier_create));
  PASTE_TRY(region.wait_barrier());
  for (uint32_t copy = 0; copy < 2; ++copy) write_superblock(region, super, copy, Site::superblock);
  PASTE_TRY(region.begin_barrier(Site::barrier_create));
  return region.wait_barrier();
}

}  // namespace paste::pool
