// The checksum by AVX2. Only what carries the target attribute is compiled for it, so that the
// program still starts on a processor without.
#include "wire/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace paste::wire::internal {

bool has_avx2() noexcept {
  __builtin_cpu_init();  // this runs before main
  return __builtin_cpu_supports("avx2") != 0;
}

namespace {

// Two times two accumulators, so that additions do not wait for each other.
template <bool kCopy>
__attribute__((target("avx2"))) uint64_t sum_blocks(const std::byte* from, size_t length,
                                                    std::byte* to) noexcept {
  static_assert(kAvx2Block % 64 == 0);
  const __m256i low_mask = _mm256_set1_epi64x(0xFFFFFFFF);
  __m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t at = 0; at < length; at += 64) {
    for (size_t i = 0; i < 2; ++i) {
      const size_t here = at + 32 * i;
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + here));
      if constexpr (kCopy) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + here), v);
      low[i] = _mm256_add_epi64(low[i], _mm256_and_si256(v, low_mask));
      high[i] = _mm256_add_epi64(high[i], _mm256_srli_epi64(v, 32));
    }
  }
  uint64_t lanes[4];
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(lanes),
      _mm256_add_epi64(_mm256_add_epi64(low[0], low[1]), _mm256_add_epi64(high[0], high[1])));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

}  // namespace

uint64_t sum_avx2(const std::byte* from, size_t length, std::byte* to) noexcept {
  return to == nullptr ? sum_blocks<false>(from, length, nullptr)
                       : sum_blocks<true>(from, length, to);
}

}  // namespace paste::wire::internal

#else

namespace paste::wire::internal {

bool has_avx2() noexcept { return false; }
uint64_t sum_avx2(const std::byte*, size_t, std::byte*) noexcept { return 0; }

}  // namespace paste::wire::internal

#endif
