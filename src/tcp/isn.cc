#include "tcp/isn.h"

namespace paste::tcp {
namespace {

// Separate the uses of one key.
constexpr uint64_t kIsn = 0x69736e;
constexpr uint64_t kTimestamp = 0x7473;

}  // namespace

// RFC 9293 MUST-8; RFC 9293 SHLD-1; RFC 6528 §3: ISN = M + F(tuple, key).
Seq initial_sequence(const SipKey& key, const FourTuple& tuple, Instant now) noexcept {
  const auto clock = static_cast<uint32_t>(now.ns / 4000);
  return Seq{clock + static_cast<uint32_t>(keyed(key, tuple, kIsn))};
}

uint32_t timestamp_offset(const SipKey& key, const FourTuple& tuple) noexcept {
  return static_cast<uint32_t>(keyed(key, tuple, kTimestamp));
}

}  // namespace paste::tcp
