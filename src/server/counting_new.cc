#include "server/counting_new.h"

#include <cstdlib>
#include <new>

namespace paste::server {
std::atomic<bool> counting_allocations{false};
std::atomic<uint64_t> allocations{0};
}  // namespace paste::server

void* operator new(size_t bytes) {
  if (paste::server::counting_allocations.load(std::memory_order_relaxed)) {
    paste::server::allocations.fetch_add(1, std::memory_order_relaxed);
  }
  if (void* p = std::malloc(bytes != 0 ? bytes : 1)) return p;
  std::abort();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
