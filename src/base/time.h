// The only place that reads a clock. Logic modules take the time as an argument.
#pragma once

#include <cstdint>

#include "paste/units.h"

namespace paste::base {

// Nanoseconds since an arbitrary point; never goes back.
[[nodiscard]] uint64_t monotonic_ns() noexcept;
// Nanoseconds since 1970-01-01 UTC; may step.
[[nodiscard]] uint64_t wall_ns() noexcept;
// Busy-waits. REQUIRES: 0 <= duration < 10 s.
void spin_for(Duration duration) noexcept;

}  // namespace paste::base
