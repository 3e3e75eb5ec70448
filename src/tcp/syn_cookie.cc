#include "tcp/syn_cookie.h"

#include <algorithm>
#include <array>

namespace paste::tcp {
namespace {

// Usual path MTUs less 40 bytes, and the floors of RFC 9293 MUST-15 and IPv6.
constexpr std::array<uint16_t, 8> kMss = {64, 536, 1220, 1360, 1400, 1440, 1460, 8960};
constexpr uint32_t kIndexBits = 3;
// The top bit separates this use of the key from others; 28 bits of counter last 500 years.
constexpr uint64_t kUse = uint64_t{1} << 63;
constexpr uint32_t kNoShift = 15;

uint32_t index_of(uint16_t mss) {
  const auto above = std::upper_bound(kMss.begin(), kMss.end(), mss);
  return above == kMss.begin() ? 0 : static_cast<uint32_t>(above - kMss.begin()) - 1;
}

uint64_t period_of(Instant now) { return now.ns / 64'000'000'000; }

uint32_t cookie_for(const SipKey& key, const FourTuple& tuple, Seq peer_isn, uint32_t index,
                    uint64_t period) {
  const uint64_t counter = (period & 0xfffffff) << 35 | uint64_t{index} << 32;
  const uint64_t tag = keyed(key, tuple, kUse | counter | peer_isn.value);
  return static_cast<uint32_t>(tag) << kIndexBits | index;
}

}  // namespace

uint16_t cookie_mss(uint16_t mss) noexcept { return kMss[index_of(mss)]; }

Seq make_cookie(const SipKey& key, const FourTuple& tuple, Seq peer_isn, uint16_t mss,
                Instant now) noexcept {
  return Seq{cookie_for(key, tuple, peer_isn, index_of(mss), period_of(now))};
}

std::optional<uint16_t> verify_cookie(const SipKey& key, const FourTuple& tuple, Seq peer_isn,
                                      Seq cookie, Instant now) noexcept {
  const uint32_t index = cookie.value & ((1u << kIndexBits) - 1);
  const uint64_t period = period_of(now);
  const bool valid = cookie_for(key, tuple, peer_isn, index, period) == cookie.value ||
                     cookie_for(key, tuple, peer_isn, index, period - 1) == cookie.value;
  if (!valid) return std::nullopt;
  return kMss[index];
}

uint32_t cookie_timestamp(uint32_t tsval_now, const CookieOptions& options) noexcept {
  const uint32_t low = (options.shift ? std::min<uint32_t>(*options.shift, 14) : kNoShift) |
                       (options.sack ? 16u : 0u) | (options.ecn ? 32u : 0u);
  const uint32_t value = (tsval_now & ~63u) | low;
  return (tsval_now & 63u) < low ? value - 64 : value;
}

CookieOptions options_of(uint32_t tsecr) noexcept {
  CookieOptions options{std::nullopt, (tsecr & 16) != 0, (tsecr & 32) != 0};
  if ((tsecr & 15) != kNoShift) options.shift = static_cast<uint8_t>(tsecr & 15);
  return options;
}

}  // namespace paste::tcp
