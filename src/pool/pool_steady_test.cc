// A pool in steady state allocates nothing. Method: every operator new of this program counts;
// after a warm-up, receiving, holding, publishing, freeing and committing must not.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "pool/test_region.h"

namespace {
bool counting = false;
uint64_t allocations = 0;
}  // namespace

[[gnu::noinline]] void* operator new(size_t bytes) {
  if (counting) ++allocations;
  void* at = std::malloc(bytes);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}
[[gnu::noinline]] void operator delete(void* at) noexcept { std::free(at); }
[[gnu::noinline]] void operator delete(void* at, size_t) noexcept { std::free(at); }

namespace paste::pool {
namespace {

TEST(PoolSteady, AllocatesNothing) {
  TestPool<PlainRegion> pool(4 << 20);
  Core& core = *pool.core;
  Root* root = must(core.create_root(format::RootType::log, "steady", {}));
  uint64_t value = 0;
  const auto turn = [&] {
    for (int i = 0; i < 8; ++i) {
      const BufferName packet = must(core.take(Purpose::receive));
      core.hold(packet);
      core.flush(core.buffer(packet), 1024, Site::log_data);
      core.release(packet);
      core.release_after_ticket(packet);
    }
    const BufferName page = must(core.take_zeroed(Purpose::structure));
    must(core.publish(pool.word(page, 7), ++value));
    must(core.update_root(*root, {value, value, value}));
    core.release_after_ticket(page);
    must(core.commit());
    if (value % 3 == 0) must(core.commit());
  };
  for (int i = 0; i < 500; ++i) turn();
  counting = true;
  for (int i = 0; i < 5000; ++i) turn();
  counting = false;
  EXPECT_EQ(allocations, 0u);
}

}  // namespace
}  // namespace paste::pool
