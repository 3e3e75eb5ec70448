#include "wire/checksum.h"

#include <algorithm>

#include "base/check.h"

namespace paste::wire {
namespace {

// False until it is initialised, which is right too: the scalar path works everywhere.
const bool kAvx2 = internal::has_avx2();

uint64_t load_native64(const std::byte* at) noexcept {
  uint64_t v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Words in the processor's byte order: RFC 1071 §2 (B) allows it if the result is swapped back.
// Halves of 64-bit words in separate sums cannot overflow below 2^32 words.
uint64_t sum_words(const std::byte* at, size_t length) noexcept {
  uint64_t total = 0;
  for (; length >= 8; at += 8, length -= 8) {
    const uint64_t a = load_native64(at);
    total += (a & 0xFFFFFFFFu) + (a >> 32);
  }
  // Bytes one by one: reading beyond them is not allowed, and they are few.
  if ((length & 4) != 0) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    total += word;
    at += 4;
  }
  if ((length & 2) != 0) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    total += word;
    at += 2;
  }
  if ((length & 1) != 0) {
    const std::byte last[2] = {*at, std::byte{0}};
    uint16_t word;
    std::memcpy(&word, last, 2);
    total += word;
  }
  return total;
}

// By AVX2 as far as whole blocks go. `to` may be null.
uint64_t sum_fast(const std::byte*& at, size_t& length, std::byte* to) noexcept {
  uint64_t total = 0;
  while (length >= internal::kAvx2Block) {
    const size_t blocks = std::min(length, internal::kAvx2Longest) & ~(internal::kAvx2Block - 1);
    total += internal::sum_avx2(at, blocks, to);
    at += blocks;
    length -= blocks;
    if (to != nullptr) to += blocks;
  }
  return total;
}

uint32_t finish(uint64_t native, uint32_t initial) noexcept {
  return fold(uint64_t{internal::big_endian(fold(native))} + initial);
}

}  // namespace

uint32_t sum_scalar(Bytes bytes, uint32_t initial) noexcept {
  return finish(sum_words(bytes.data(), bytes.size()), initial);
}

uint64_t sum_native(Bytes bytes) noexcept {
  const std::byte* at = bytes.data();
  size_t length = bytes.size();
  const uint64_t blocks = kAvx2 ? sum_fast(at, length, nullptr) : 0;
  return blocks + sum_words(at, length);
}

uint32_t sum(Bytes bytes, uint32_t initial) noexcept { return finish(sum_native(bytes), initial); }

uint32_t copy_and_sum(MutableBytes to, Bytes from, uint32_t initial) noexcept {
  PASTE_CHECK(to.size() >= from.size());
  if (from.empty()) return finish(0, initial);
  const std::byte* at = from.data();
  size_t length = from.size();
  const uint64_t blocks = kAvx2 ? sum_fast(at, length, to.data()) : 0;
  std::memcpy(to.data() + (from.size() - length), at, length);
  return finish(blocks + sum_words(at, length), initial);
}

}  // namespace paste::wire
