// The Internet checksum: RFC 1071, incremental by RFC 1624, pseudo-headers of RFC 9293 §3.1 and
// RFC 8200 §8.1. AVX2 where the processor has it, 64-bit words elsewhere; the results are equal.
#pragma once

#include <cstdint>

#include "wire/address.h"
#include "wire/bytes.h"

namespace paste::wire {

// The ones'-complement sum of the bytes as big-endian 16-bit words, and of `initial`; an odd last
// byte counts as a word whose low byte is 0. The result is folded to at most 0xFFFF, so up to 2^16
// results may be added in a uint32_t, or one be the `initial` of the next.
// Rule for pieces: the sums of pieces add up to the sum of the whole only if each piece begins at
// an even offset of the whole, that is, only the last may be odd. Sum has no such limit.
[[nodiscard]] uint32_t sum(Bytes bytes, uint32_t initial = 0) noexcept;

// The same by 64-bit words on every processor; the reference that tests and fuzzers compare with.
[[nodiscard]] uint32_t sum_scalar(Bytes bytes, uint32_t initial = 0) noexcept;

// Copies the bytes and returns sum(from, initial), reading them once.
// REQUIRES: to.size() >= from.size(), no overlap.
[[nodiscard]] uint32_t copy_and_sum(MutableBytes to, Bytes from, uint32_t initial = 0) noexcept;

// The sum of 16-bit words in the byte order of the processor, not folded; an odd last byte counts
// as a word whose other byte, in memory behind it, is 0. Less than 2^41 for each KiB.
[[nodiscard]] uint64_t sum_native(Bytes bytes) noexcept;

// Any sum of folded sums to 16 bits, by adding the carries back.
[[nodiscard]] constexpr uint16_t fold(uint64_t partial) noexcept {
  partial = (partial >> 32) + (partial & 0xFFFFFFFFu);
  partial = (partial >> 32) + (partial & 0xFFFFFFFFu);
  partial = (partial >> 16) + (partial & 0xFFFFu);
  partial = (partial >> 16) + (partial & 0xFFFFu);
  return static_cast<uint16_t>(partial);
}

// The checksum of a sequence of pieces of any lengths, odd ones included, in one pass.
class Sum {
 public:
  Sum() = default;
  // Begins with what is summed already, of an even number of bytes: a pseudo-header, say.
  explicit Sum(uint32_t partial) noexcept : total_(partial) {}

  void add(Bytes bytes) noexcept { add_partial(sum(bytes), bytes.size()); }
  // `partial` is sum() of the next `length` bytes, computed earlier or elsewhere.
  void add_partial(uint32_t partial, size_t length) noexcept {
    // RFC 1071 §2 (B): at an odd offset the sum of the piece has its bytes swapped.
    const uint16_t folded = fold(partial);
    total_ += odd_ ? internal::swap(folded) : folded;
    odd_ ^= (length & 1) != 0;
  }
  // As the two bytes that a header would have them in.
  void add16(uint16_t value) noexcept { total_ += odd_ ? internal::swap(value) : value; }
  void add32(uint32_t value) noexcept {
    add16(static_cast<uint16_t>(value >> 16));
    add16(static_cast<uint16_t>(value));
  }
  // What was added, folded; a partial sum like any other, of an even length only.
  [[nodiscard]] uint32_t partial() const noexcept { return fold(total_); }
  // The field for a packet whose checksum field was summed as 0. A packet with its field filled in
  // is right if this gives 0.
  [[nodiscard]] uint16_t finish() const noexcept { return static_cast<uint16_t>(~fold(total_)); }

 private:
  uint64_t total_ = 0;
  bool odd_ = false;
};

[[nodiscard]] inline uint16_t checksum(Bytes bytes, uint32_t initial = 0) noexcept {
  return static_cast<uint16_t>(~fold(sum(bytes, initial)));
}

// The checksum after one aligned word of what it covers changed: RFC 1624 §3 equation 3. It is the
// full computation's result as long as anything that is covered is not zero.
[[nodiscard]] constexpr uint16_t update(uint16_t checksum, uint16_t old16,
                                        uint16_t new16) noexcept {
  const uint32_t total =
      uint32_t{static_cast<uint16_t>(~checksum)} + static_cast<uint16_t>(~old16) + uint32_t{new16};
  return static_cast<uint16_t>(~fold(total));
}

// The partial sum of the pseudo-header. `length` is that of transport header and payload.
// REQUIRES: both addresses are of the same version.
[[nodiscard]] inline uint32_t pseudo_header_sum(const IpAddress& source,
                                                const IpAddress& destination, uint8_t protocol,
                                                uint32_t length) noexcept {
  uint64_t total = uint64_t{protocol} + length;
  if (source.is_v4()) {
    total += uint64_t{source.v4()} + destination.v4();
  } else {
    for (size_t i = 0; i < 16; i += 4) {
      total += uint64_t{load32(source.bytes(), i)} + load32(destination.bytes(), i);
    }
  }
  return fold(total);
}

// Whether a TCP segment, UDP datagram or ICMPv6 message of these addresses has a right checksum.
[[nodiscard]] inline bool transport_checksum_ok(const IpAddress& source,
                                                const IpAddress& destination, uint8_t protocol,
                                                Bytes all) noexcept {
  const auto length = static_cast<uint32_t>(all.size());
  return checksum(all, pseudo_header_sum(source, destination, protocol, length)) == 0;
}

namespace internal {
inline constexpr size_t kAvx2Block = 32;
inline constexpr size_t kAvx2Longest = 64 << 10;
[[nodiscard]] bool has_avx2() noexcept;
// The sum of 16-bit words in the byte order of the processor, not folded. `to` may be null: only
// sum. REQUIRES: has_avx2(); length is a multiple of kAvx2Block, at most kAvx2Longest.
[[nodiscard]] uint64_t sum_avx2(const std::byte* from, size_t length, std::byte* to) noexcept;
}  // namespace internal

}  // namespace paste::wire
