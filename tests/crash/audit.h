// A second opinion on a recovered pool: walks the region by its format alone, counts who holds
// which buffer, and finds out which bytes nobody uses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pmem/shadow.h"
#include "tests/crash/model.h"

namespace paste::crash {

struct Usage {
  std::vector<uint32_t> holds;      // by buffer name
  std::vector<bool> structure;      // by buffer name
  std::vector<std::pair<uint64_t, uint64_t>> used;  // byte ranges inside data buffers: offset, end
};

// REQUIRES: the store was opened and not changed since.
[[nodiscard]] Usage walk(Store& store);

// Compares the pool's own count with walk(): every buffer has exactly the owners that reach it,
// none is leaked. Empty if nothing is wrong. REQUIRES: as walk().
[[nodiscard]] std::string audit(Store& store);

// Overwrites every byte of `image` that recovery must not depend on: free buffers, what lies
// between the records of data buffers, and publish lists that are not committed. `usage` is walk()
// of the store recovered from the image, which the image is the memory of.
void randomise_unused(const Usage& usage, std::span<std::byte> image, uint32_t buffer_size,
                      uint32_t first_buffer, pmem::ShadowRandom& random);

}  // namespace paste::crash
