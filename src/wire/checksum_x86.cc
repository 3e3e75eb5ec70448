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

// Words taken as signed, 2^15 less than they are, so that a multiplication by one adds them in
// pairs without losing a carry: three instructions for 32 bytes. What was taken away is added to
// the total. A lane sees at most 2^16 × kAvx2Longest / 64, so nothing overflows.
template <bool kCopy>
__attribute__((target("avx2"))) uint64_t sum_blocks(const std::byte* from, size_t length,
                                                    std::byte* to) noexcept {
  const __m256i bias = _mm256_set1_epi16(INT16_MIN);
  const __m256i ones = _mm256_set1_epi16(1);
  const std::byte* const end = from + length;
  const auto pairs = [&](size_t at) __attribute__((target("avx2"), always_inline)) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at));
    if constexpr (kCopy) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at), v);
    return _mm256_madd_epi16(_mm256_xor_si256(v, bias), ones);
  };
  __m256i even = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
  while (end - from >= 128) {
    even = _mm256_add_epi32(even, pairs(0));
    odd = _mm256_add_epi32(odd, pairs(32));
    even = _mm256_add_epi32(even, pairs(64));
    odd = _mm256_add_epi32(odd, pairs(96));
    from += 128;
    if constexpr (kCopy) to += 128;
  }
  for (; from < end; from += 32) {
    even = _mm256_add_epi32(even, pairs(0));
    if constexpr (kCopy) to += 32;
  }
  const __m256i both = _mm256_add_epi32(even, odd);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return static_cast<uint64_t>(int64_t{_mm_cvtsi128_si32(four)}) + length / 2 * 32768;
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
