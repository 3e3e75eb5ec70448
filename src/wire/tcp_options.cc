#include "wire/tcp_options.h"

#include <algorithm>

#include "base/check.h"

namespace paste::wire {
namespace {

// The whole option, kind and length included. False for a length that the kind never has.
bool read_option(uint8_t kind, Bytes option, TcpOptions& to) noexcept {
  const size_t length = option.size();
  switch (kind) {
    case kTcpOptionMss:
      if (length != 4) return false;
      to.has_mss = true;
      to.mss = load16(option, 2);
      return true;
    case kTcpOptionWindowScale:
      if (length != 3) return false;
      to.has_window_scale = true;
      to.window_scale = std::min(load8(option, 2), kWindowScaleMax);
      return true;
    case kTcpOptionSackPermitted:
      if (length != 2) return false;
      to.sack_permitted = true;
      return true;
    case kTcpOptionTimestamps:
      if (length != 10) return false;
      to.has_timestamps = true;
      to.timestamp_value = load32(option, 2);
      to.timestamp_echo = load32(option, 6);
      return true;
    case kTcpOptionSack: {
      const size_t blocks = (length - 2) / 8;
      if (length % 8 != 2 || blocks == 0 || blocks > kSackBlocksMax) return false;
      for (size_t i = 0; i < kSackBlocksMax; ++i) {
        to.sack[i] = i < blocks ? SackBlock{load32(option, 2 + 8 * i), load32(option, 6 + 8 * i)}
                                : SackBlock{};
      }
      to.sack_count = static_cast<uint8_t>(blocks);
      return true;
    }
    default:
      return true;  // RFC 9293 MUST-6
  }
}

}  // namespace

ParseResult<TcpOptions> TcpOptions::parse_any(Bytes bytes) noexcept {
  TcpOptions options;
  size_t at = 0;
  while (at < bytes.size()) {
    const uint8_t kind = load8(bytes, at);
    if (kind == kTcpOptionEnd) break;
    if (kind == kTcpOptionNop) {
      ++at;
      continue;
    }
    // RFC 9293 MUST-7: an illegal length, 0 included, must do no harm.
    if (at + 2 > bytes.size()) return malformed(Malformed::tcp_option_length);
    const size_t length = load8(bytes, at + 1);
    if (length < 2 || length > bytes.size() - at) {
      return malformed(Malformed::tcp_option_length);
    }
    if (!read_option(kind, bytes.subspan(at, length), options)) {
      return malformed(Malformed::tcp_option_size);
    }
    at += length;
  }
  return options;
}

size_t emit(const TcpOptions& options, MutableBytes out) noexcept {
  PASTE_CHECK(out.size() >= options.length());
  PASTE_CHECK(options.window_scale <= kWindowScaleMax);
  PASTE_CHECK(options.sack_count <= kSackBlocksMax);
  size_t at = 0;
  if (options.has_mss) {
    store32(out, at, 0x02040000u | options.mss);
    at += 4;
  }
  if (options.has_timestamps) {
    store32(out, at, options.sack_permitted ? 0x0402080Au : 0x0101080Au);
    store32(out, at + 4, options.timestamp_value);
    store32(out, at + 8, options.timestamp_echo);
    at += 12;
  } else if (options.sack_permitted) {
    store32(out, at, 0x01010402u);
    at += 4;
  }
  if (options.has_window_scale) {
    store32(out, at, 0x01030300u | options.window_scale);
    at += 4;
  }
  if (const size_t blocks = options.sack_fitting(); blocks > 0) {
    store32(out, at, 0x01010500u | static_cast<uint32_t>(2 + 8 * blocks));
    at += 4;
    for (size_t i = 0; i < blocks; ++i, at += 8) {
      store32(out, at, options.sack[i].begin);
      store32(out, at + 4, options.sack[i].end);
    }
  }
  return at;
}

}  // namespace paste::wire
