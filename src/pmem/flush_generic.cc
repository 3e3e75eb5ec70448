// Any other CPU: stores are ordered, and nothing more is claimed. The process domain needs no more
// than that, the page domain writes to a file, and the memory domain is refused.
#include <atomic>

#include "pmem/flush.h"

namespace paste::pmem {
namespace {

void write_back_nothing(const void*, size_t) noexcept {}

constexpr CacheFlush kNone{"none", false, write_back_nothing};

}  // namespace

const CacheFlush* cache_flush_named(std::string_view name) noexcept {
  return name == kNone.name ? &kNone : nullptr;
}

const CacheFlush& cache_flush() noexcept { return kNone; }

void store_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // namespace paste::pmem
