// What identifies a connection, and its hash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tcp/siphash.h"

namespace paste::tcp {

// An IPv6 address in network order; IPv4 as ::ffff:a.b.c.d.
using Address = std::array<uint8_t, 16>;

constexpr Address ipv4_mapped(uint8_t a, uint8_t b, uint8_t c, uint8_t d) noexcept {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

// Ports in host order. Each value is a possible connection; equality is of all four.
struct FourTuple {
  Address local{};
  Address remote{};
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  friend bool operator==(const FourTuple&, const FourTuple&) = default;
};
static_assert(sizeof(FourTuple) == 36);

// A keyed function of the tuple and one more word, which separates the uses of a key.
[[nodiscard]] inline uint64_t keyed(const SipKey& key, const FourTuple& t, uint64_t more) noexcept {
  std::array<uint64_t, 6> words{};
  std::memcpy(words.data(), t.local.data(), 16);
  std::memcpy(&words[2], t.remote.data(), 16);
  words[4] = uint64_t{t.local_port} << 16 | t.remote_port;
  words[5] = more;
  return siphash24(key, words);
}

// The hash for tables. With a secret random key nobody outside can choose tuples that collide more
// often than random ones do, so chains stay short under hash flooding.
struct TupleHash {
  SipKey key;
  [[nodiscard]] size_t operator()(const FourTuple& t) const noexcept { return keyed(key, t, 0); }
};

}  // namespace paste::tcp
