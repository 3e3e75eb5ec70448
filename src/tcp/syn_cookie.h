// SYN cookies: what a half-open connection needs to remember, kept in our ISN and timestamp.
//
//   cookie  [31..3]  29 bits of SipHash(key, tuple, peer's ISN, counter, MSS index)
//           [2..0]   MSS index
//
// The counter counts 64 s and is not written: verify() tries this period and the last one. So 16
// of 2^32 values are valid at a time and a blind guess succeeds with probability 2^-28 (a counter
// in clear would leave 24 bits of hash to guess).
//
//   timestamp [31..6]  the clock    [5] ECN    [4] SACK    [3..0] window shift, 15: no scaling
#pragma once

#include <cstdint>
#include <optional>

#include "tcp/instant.h"
#include "tcp/seq.h"
#include "tcp/tuple.h"

namespace paste::tcp {

// The MSS that a cookie stands for: the largest of a table of eight that is not above `mss`.
[[nodiscard]] uint16_t cookie_mss(uint16_t mss) noexcept;

// RFC 4987 §3.6: our ISN for a SYN that found the half-open table full.
[[nodiscard]] Seq make_cookie(const SipKey& key, const FourTuple& tuple, Seq peer_isn, uint16_t mss,
                              Instant now) noexcept;
// The MSS if `cookie` (SEG.ACK - 1) was made for this tuple and ISN (SEG.SEQ - 1) in this period
// or the last one, so 64 to 128 s ago at most.
[[nodiscard]] std::optional<uint16_t> verify_cookie(const SipKey& key, const FourTuple& tuple,
                                                    Seq peer_isn, Seq cookie, Instant now) noexcept;

struct CookieOptions {
  std::optional<uint8_t> shift;  // the peer's window shift, 0 … 14
  bool sack = false;
  bool ecn = false;
  friend bool operator==(const CookieOptions&, const CookieOptions&) = default;
};
// TSval of a SYN-ACK: not above `tsval_now`, and less than 64 ticks below, so that later values
// never go back. The options are not authenticated: a peer can only lie about its own.
[[nodiscard]] uint32_t cookie_timestamp(uint32_t tsval_now, const CookieOptions& options) noexcept;
[[nodiscard]] CookieOptions options_of(uint32_t tsecr) noexcept;

}  // namespace paste::tcp
