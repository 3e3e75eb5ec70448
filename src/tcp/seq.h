// Sequence numbers: arithmetic modulo 2^32.
// RFC 9293 §3.4: comparisons are made on the signed distance, meaningful while two numbers are
// less than 2^31 apart.
#pragma once

#include <cstdint>

namespace paste::tcp {

struct Seq {
  uint32_t value = 0;

  friend constexpr bool operator==(Seq, Seq) = default;
  // The distance from `b` to `a`, in [-2^31, 2^31).
  friend constexpr int32_t operator-(Seq a, Seq b) noexcept {
    return static_cast<int32_t>(a.value - b.value);
  }
  friend constexpr Seq operator+(Seq a, uint32_t n) noexcept { return {a.value + n}; }
  friend constexpr Seq operator-(Seq a, uint32_t n) noexcept { return {a.value - n}; }
  constexpr Seq& operator+=(uint32_t n) noexcept {
    value += n;
    return *this;
  }
  friend constexpr bool operator<(Seq a, Seq b) noexcept { return a - b < 0; }
  friend constexpr bool operator<=(Seq a, Seq b) noexcept { return a - b <= 0; }
  friend constexpr bool operator>(Seq a, Seq b) noexcept { return a - b > 0; }
  friend constexpr bool operator>=(Seq a, Seq b) noexcept { return a - b >= 0; }
};

constexpr Seq max(Seq a, Seq b) noexcept { return a < b ? b : a; }
constexpr Seq min(Seq a, Seq b) noexcept { return a < b ? a : b; }

// The half-open range [begin, end).
struct SeqRange {
  Seq begin;
  Seq end;
  friend constexpr bool operator==(SeqRange, SeqRange) = default;
  [[nodiscard]] constexpr uint32_t length() const noexcept { return end.value - begin.value; }
  [[nodiscard]] constexpr bool empty() const noexcept { return begin == end; }
  [[nodiscard]] constexpr bool contains(Seq s) const noexcept { return begin <= s && s < end; }
};

}  // namespace paste::tcp
