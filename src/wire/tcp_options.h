// The options of TCP in use: RFC 9293 §3.2 (MSS), RFC 7323 (window scale, timestamps),
// RFC 2018 and 2883 (SACK).
#pragma once

#include "wire/bytes.h"
#include "wire/malformed.h"

namespace paste::wire {

inline constexpr size_t kTcpOptionsMax = 40;
inline constexpr uint8_t kSackBlocksMax = 4;
inline constexpr uint8_t kWindowScaleMax = 14;

inline constexpr uint8_t kTcpOptionEnd = 0;
inline constexpr uint8_t kTcpOptionNop = 1;
inline constexpr uint8_t kTcpOptionMss = 2;
inline constexpr uint8_t kTcpOptionWindowScale = 3;
inline constexpr uint8_t kTcpOptionSackPermitted = 4;
inline constexpr uint8_t kTcpOptionSack = 5;
inline constexpr uint8_t kTcpOptionTimestamps = 8;

// Sequence numbers [begin, end) as the wire has them; nothing says that end comes after begin.
struct SackBlock {
  uint32_t begin = 0;
  uint32_t end = 0;
  friend constexpr bool operator==(SackBlock, SackBlock) = default;
};

// Invariants: the value of an option that is absent is 0; sack[i] is {} for i >= sack_count.
struct TcpOptions {
  bool has_mss = false;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamps = false;
  uint8_t window_scale = 0;  // at most 14: RFC 7323 §2.3 has a larger one read as 14
  uint8_t sack_count = 0;    // at most kSackBlocksMax
  uint16_t mss = 0;
  uint32_t timestamp_value = 0;
  uint32_t timestamp_echo = 0;
  SackBlock sack[kSackBlocksMax];

  friend constexpr bool operator==(const TcpOptions&, const TcpOptions&) = default;

  // `bytes` are all option bytes of a header. Unknown options are skipped by their length
  // (RFC 9293 MUST-6); of an option that comes twice the last counts; END ends, whatever follows.
  [[nodiscard]] static ParseResult<TcpOptions> parse(Bytes bytes) noexcept {
    // What nearly every segment of a connection has: NOP, NOP, timestamps.
    if (bytes.size() == 12 && load32(bytes, 0) == 0x0101080Au) [[likely]] {
      TcpOptions options;
      options.has_timestamps = true;
      options.timestamp_value = load32(bytes, 4);
      options.timestamp_echo = load32(bytes, 8);
      return options;
    }
    if (bytes.empty()) return TcpOptions{};
    return parse_any(bytes);
  }

  // Bytes that emit() writes: a multiple of 4, at most 40.
  [[nodiscard]] constexpr size_t length() const noexcept {
    const size_t fixed = fixed_length();
    const size_t blocks = sack_fitting();
    return fixed + (blocks == 0 ? 0 : 4 + 8 * blocks);
  }
  // How many of the SACK blocks fit beside the other options.
  [[nodiscard]] constexpr size_t sack_fitting() const noexcept {
    const size_t room = (kTcpOptionsMax - fixed_length() - 4) / 8;
    return sack_count < room ? sack_count : room;
  }

 private:
  [[nodiscard]] static ParseResult<TcpOptions> parse_any(Bytes bytes) noexcept;

  [[nodiscard]] constexpr size_t fixed_length() const noexcept {
    // The two bytes of SACK-permitted take the place of the padding before the timestamps.
    return (has_mss ? 4u : 0u) +
           (has_timestamps   ? 12u
            : sack_permitted ? 4u
                             : 0u) +
           (has_window_scale ? 4u : 0u);
  }
};

// Writes the options in this order, each padded with NOPs in front to a multiple of 4: MSS,
// SACK-permitted, timestamps, window scale, SACK. Returns options.length(): SACK blocks that do
// not fit are left out, from the last.
// REQUIRES: out.size() >= options.length(), window_scale <= 14, sack_count <= 4.
size_t emit(const TcpOptions& options, MutableBytes out) noexcept;

}  // namespace paste::wire
