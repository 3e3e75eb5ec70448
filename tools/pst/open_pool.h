// Opening a pool as the commands do: create it if asked to, recover it, and say how that went.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "log/log.h"
#include "pmem/region.h"
#include "pool/core.h"

namespace paste::tool {

struct OpenedPool {
  // In the order in which they must go: logs first.
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<log::Logs> logs;
  bool created = false;
  Duration took{0};  // mapping, loading and recovery
};

// Makes a pool at options.path; size 0: a device as a whole, a file of 1 GiB. Errors: exists (also
// for a device that is not blank, unless `force`), and those of pmem::open_region and
// pool::Core::create.
Result<std::unique_ptr<pmem::Region>> create_pool(pmem::RegionOptions options,
                                                  const pool::CreateOptions& format, bool force);

// Opens for serving; options.create means: make it if nothing is there yet.
// Errors: those of create_pool, pmem::open_region, pool::Core::open, log::Logs::recover.
Result<OpenedPool> open_pool(pmem::RegionOptions options, const pool::CreateOptions& format);

// Opens privately, to look: nothing is written, damage is collected.
struct InspectedPool {
  std::vector<pool::Finding> findings;
  std::unique_ptr<pool::Core> core;  // null when there was too much damage to go on
  std::unique_ptr<log::Logs> logs;   // null likewise
};
// Errors: the pool cannot be read at all (not_found, permission, in_use, …).
Result<std::unique_ptr<InspectedPool>> inspect_pool(const std::string& path);

// "created", or "recovered 3 logs with 1200 records in 1.2 ms …".
std::string recovery_text(const OpenedPool& pool);
// "power loss", …
std::string_view survives_text(pmem::Domain domain);
// A region's description in two parts, for two lines: what and where it is, and its domain with
// what that survives and rests on.
struct PoolWords {
  std::string place;   // "regular file /data/a.paste, written by io_uring"
  std::string domain;  // "page: survives power loss, once written to the file"
};
PoolWords pool_words(const pmem::Region& region);
// Buffers that are held.
uint64_t count_held(const pool::Core& core);
std::string uuid_text(const pool::Core& core);

}  // namespace paste::tool
