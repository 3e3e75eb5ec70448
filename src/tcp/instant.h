// Injected time: nanoseconds since an arbitrary point, never going back. The engine reads no clock.
#pragma once

#include <compare>
#include <cstdint>

#include "paste/units.h"

namespace paste::tcp {

struct Instant {
  uint64_t ns = 0;
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant t, Duration d) noexcept {
    return {t.ns + static_cast<uint64_t>(d.count())};
  }
  friend constexpr Duration operator-(Instant a, Instant b) noexcept {
    return Duration(static_cast<int64_t>(a.ns - b.ns));
  }
};
inline constexpr Instant kNever{UINT64_MAX};

}  // namespace paste::tcp
