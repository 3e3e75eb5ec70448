// A log in steady state allocates nothing. Method: every operator new of this program counts; after
// a warm-up, appending, committing, reading, truncating by count and reclaiming must not.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "log/test_pool.h"

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

namespace paste::log {
namespace {

class Steady {
 public:
  void turn() {
    for (int i = 0; i < 4; ++i) {
      const BufferName name = pool_.core->take(pool::Purpose::receive).value();
      const Slice packet{name, 64, 1024};
      PASTE_CHECK(log_->append({&packet, 1}, {.time_ns = 1}).has_value());
    }
    Slice two[2];
    for (Slice& packet : two) {
      packet = {pool_.core->take(pool::Purpose::receive).value(), 0, 1400};
    }
    PASTE_CHECK(log_->append(two, {.time_ns = 1}).has_value());
    PASTE_CHECK(log_->append_bytes(as_bytes("a short one"), {.time_ns = 1}).has_value());
    const Lsn newest = log_->append_bytes(as_bytes(long_), {.time_ns = 1}).value().lsn;
    PASTE_CHECK(log_->read(newest).has_value());
    PASTE_CHECK(log_->truncate(log_->cut_for_count(300)).has_value());
    if (newest > 400) PASTE_CHECK(log_->erase(newest - 50).has_value());
    pool_.logs->reclaim(16);
    PASTE_CHECK(pool_.core->commit().has_value());
  }

 private:
  TestPool pool_ = TestPool::create(4 << 20);
  Log* log_ = pool_.logs->create("steady").value();
  std::string long_ = pattern(1, 5000);
};

TEST(LogSteady, AllocatesNothing) {
  Steady steady;
  for (int i = 0; i < 2000; ++i) steady.turn();
  counting = true;
  for (int i = 0; i < 5000; ++i) steady.turn();
  counting = false;
  EXPECT_EQ(allocations, 0u);
}

}  // namespace
}  // namespace paste::log
