#include "base/time.h"

#include <ctime>

#include "base/check.h"

namespace paste::base {
namespace {

uint64_t read_clock(clockid_t id) noexcept {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace

uint64_t monotonic_ns() noexcept { return read_clock(CLOCK_MONOTONIC); }
uint64_t wall_ns() noexcept { return read_clock(CLOCK_REALTIME); }

void spin_for(Duration duration) noexcept {
  PASTE_CHECK(duration.count() >= 0 && duration < std::chrono::seconds(10));
  const uint64_t end = monotonic_ns() + static_cast<uint64_t>(duration.count());
  while (monotonic_ns() < end) {
  }
}

}  // namespace paste::base
