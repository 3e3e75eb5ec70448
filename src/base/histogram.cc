#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace paste::base {

// Values below 32 have a bucket each; above, the bucket is the position of the highest bit and the
// five bits that follow it.
uint32_t Histogram::bucket_of(uint64_t value) noexcept {
  if (value < (1u << kSubBits)) return static_cast<uint32_t>(value);
  const uint32_t shift = static_cast<uint32_t>(std::bit_width(value)) - 1 - kSubBits;
  return ((shift + 1) << kSubBits) +
         static_cast<uint32_t>((value >> shift) & ((1u << kSubBits) - 1));
}

uint64_t Histogram::bucket_end(uint32_t bucket) noexcept {
  if (bucket < (1u << kSubBits)) return bucket;
  const uint32_t shift = (bucket >> kSubBits) - 1;
  const uint64_t top = (1u << kSubBits) | (bucket & ((1u << kSubBits) - 1));
  return (top << shift) + ((uint64_t{1} << shift) - 1);
}

void Histogram::record(uint64_t value) noexcept {
  ++counts_[bucket_of(value)];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, value);
}

void Histogram::add(const Histogram& other) noexcept {
  for (uint32_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void Histogram::clear() noexcept { *this = Histogram(); }

uint64_t Histogram::quantile(double q) const noexcept {
  PASTE_CHECK(q >= 0 && q <= 1);
  if (count_ == 0) return 0;
  const uint64_t rank =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (uint32_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(bucket_end(i), max_);
  }
  return max_;
}

}  // namespace paste::base
