// A latency histogram of fixed size: log-linear buckets, 32 per power of two, so a quantile is at
// most 1/32 too large. Thread-safety: none.
#pragma once

#include <array>
#include <cstdint>

namespace paste::base {

class Histogram {
 public:
  // Values are nanoseconds by convention, but any unit works. Every uint64_t is accepted.
  void record(uint64_t value) noexcept;
  void add(const Histogram& other) noexcept;
  void clear() noexcept;

  [[nodiscard]] uint64_t count() const noexcept { return count_; }
  [[nodiscard]] uint64_t sum() const noexcept { return sum_; }  // wraps after 584 years of ns
  [[nodiscard]] uint64_t max() const noexcept { return max_; }  // exact; 0 if empty
  // The upper end of the bucket that holds the q-th part, never above max(); 0 if empty.
  // REQUIRES: 0 <= q <= 1.
  [[nodiscard]] uint64_t quantile(double q) const noexcept;

 private:
  static constexpr uint32_t kSubBits = 5;
  static constexpr uint32_t kBuckets = (64 - kSubBits + 1) << kSubBits;
  static uint32_t bucket_of(uint64_t value) noexcept;
  static uint64_t bucket_end(uint32_t bucket) noexcept;  // largest value in the bucket

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace paste::base
