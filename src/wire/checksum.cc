#include "wire/checksum.h"

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
  uint64_t low = 0, high = 0;
  for (; length >= 16; at += 16, length -= 16) {
    const uint64_t a = load_native64(at), b = load_native64(at + 8);
    low += (a & 0xFFFFFFFFu) + (b & 0xFFFFFFFFu);
    high += (a >> 32) + (b >> 32);
  }
  if (length >= 8) {
    const uint64_t a = load_native64(at);
    low += a & 0xFFFFFFFFu;
    high += a >> 32;
    at += 8;
    length -= 8;
  }
  if (length > 0) {
    uint64_t tail = 0;  // zero bytes after the last are the padding of an odd one
    std::memcpy(&tail, at, length);
    low += tail & 0xFFFFFFFFu;
    high += tail >> 32;
  }
  return low + high;
}

uint32_t finish(uint64_t native, uint32_t initial) noexcept {
  return fold(uint64_t{internal::big_endian(fold(native))} + initial);
}

}  // namespace

uint32_t sum_scalar(Bytes bytes, uint32_t initial) noexcept {
  return finish(sum_words(bytes.data(), bytes.size()), initial);
}

uint32_t sum(Bytes bytes, uint32_t initial) noexcept {
  const std::byte* at = bytes.data();
  size_t length = bytes.size();
  uint64_t native = 0;
  if (kAvx2 && length >= internal::kAvx2Block) {
    const size_t blocks = length & ~(internal::kAvx2Block - 1);
    native = internal::sum_avx2(at, blocks, nullptr);
    at += blocks;
    length -= blocks;
  }
  return finish(native + sum_words(at, length), initial);
}

uint32_t copy_and_sum(MutableBytes to, Bytes from, uint32_t initial) noexcept {
  PASTE_CHECK(to.size() >= from.size());
  const std::byte* at = from.data();
  size_t length = from.size();
  if (length == 0) return finish(0, initial);
  uint64_t native = 0;
  size_t blocks = 0;
  if (kAvx2 && length >= internal::kAvx2Block) {
    blocks = length & ~(internal::kAvx2Block - 1);
    native = internal::sum_avx2(at, blocks, to.data());
    at += blocks;
    length -= blocks;
  }
  std::memcpy(to.data() + blocks, at, length);
  return finish(native + sum_words(at, length), initial);
}

}  // namespace paste::wire
