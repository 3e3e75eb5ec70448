// Initial sequence numbers and timestamp offsets that nobody off the path can guess.
#pragma once

#include "tcp/instant.h"
#include "tcp/seq.h"
#include "tcp/tuple.h"

namespace paste::tcp {

// RFC 9293 §3.4.1 (MUST-8, SHLD-1) and RFC 6528 §3: a clock of 4 µs plus a keyed function of the
// tuple. Two incarnations of one tuple are apart by the clock; two tuples have nothing in common.
[[nodiscard]] Seq initial_sequence(const SipKey& key, const FourTuple& tuple, Instant now) noexcept;

// RFC 7323 §5.4: a random offset for each connection. It is the same for each incarnation of a
// tuple, so that RFC 6191 can compare them.
[[nodiscard]] uint32_t timestamp_offset(const SipKey& key, const FourTuple& tuple) noexcept;

}  // namespace paste::tcp
