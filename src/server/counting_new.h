// Counts calls of operator new in this program, for the test that there are none.
#pragma once

#include <atomic>
#include <cstdint>

namespace paste::server {
extern std::atomic<bool> counting_allocations;
extern std::atomic<uint64_t> allocations;
}  // namespace paste::server
