// ICMP errors about segments that we sent: RFC 792, RFC 4443, and what RFC 5927 says to believe.
#pragma once

#include <cstdint>
#include <optional>

#include "tcp/segment.h"
#include "tcp/tuple.h"

namespace paste::tcp {

struct IcmpError {
  enum class Kind : uint8_t {
    too_big,  // RFC 1191, RFC 8201: `mtu` says what fits
    hard,     // RFC 1122 §4.2.3.9: protocol or port unreachable, or forbidden
    soft,     // RFC 1122 §4.2.3.9: network or host unreachable, time exceeded, parameter problem
  };
  Kind kind = Kind::soft;
  uint32_t mtu =
      0;  // of too_big: bytes of the whole packet; 0: the router does not say (RFC 1191 §5)
  FourTuple tuple;  // `local` is ours
  Seq seq;          // of the segment that is quoted
};

// A frame with an ICMP error that quotes a TCP segment; nullopt for everything else, a source
// quench among it (RFC 9293 MUST-55: to be discarded).
[[nodiscard]] std::optional<IcmpError> parse_icmp_error(Bytes frame) noexcept;

// RFC 1191 §7.1: the likely size of the next link if the router does not say: the largest that is
// smaller than a packet of `length` bytes.
[[nodiscard]] uint32_t next_plateau(uint32_t length) noexcept;

// RFC 8200 §5; for IPv4 as other hosts have it, since an attacker could ask for 68 (RFC 5927 §7.2).
inline constexpr uint32_t kMtuMinV4 = 552;
inline constexpr uint32_t kMtuMinV6 = 1280;

}  // namespace paste::tcp
