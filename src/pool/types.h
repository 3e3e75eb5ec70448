// The words of the pool's interface: what a buffer is for, roots, findings, options, counts.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "paste/result.h"
#include "pmem/site.h"
#include "pool/format.h"

namespace paste::pool {

using pmem::Site;

enum class Kind : uint8_t { data = 1, structure = 2 };

// What a buffer is wanted for; decides how deep into the reserves the request may go.
enum class Purpose : uint8_t {
  receive,    // for a port to receive into: not the structure reserve
  data,       // bytes of a write: neither reserve
  structure,  // a page that a write needs: neither reserve
  room,       // a page that a delete, truncation or repacking needs to make room: everything
};

// What a check found; `pst pool check` prints these, open() stops at the first.
struct Finding {
  Code code = Code::corrupt;
  std::string what;  // "superblock copy 1", "record 17 of log orders", "root page 64"
  std::string detail;
};

struct CreateOptions {
  uint32_t buffer_size = format::kBufferSizeDefault;
};

struct OpenOptions {
  // Not null: check instead of open. Damage is appended here and the walk goes on where it can;
  // the region should be private (RegionOptions::read_only).
  std::vector<Finding>* findings = nullptr;
};

using RootWords = std::array<uint64_t, format::kRootWords>;

// A root entry, in DRAM. Stable address for the life of the core, also after deletion.
struct Root {
  uint64_t id = 0;
  format::RootType type = format::RootType::none;
  std::string name;
  RootWords words{};                   // as at the end of the filling ticket
  bool live = false;                   // as at the end of the filling ticket
  format::RootEntry* entry = nullptr;  // its place in the region
};

struct CoreStats {
  uint64_t tickets = 0;            // made durable since open
  uint64_t tickets_published = 0;  // of these, with a publish list
  uint64_t barriers = 0;
  uint64_t buffers_free = 0;
  uint64_t buffers_data = 0;
  uint64_t buffers_structure = 0;
  uint64_t buffers_deferred = 0;  // holds given back that are not yet free
};

}  // namespace paste::pool
