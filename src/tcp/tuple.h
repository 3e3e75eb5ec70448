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

[[nodiscard]] inline bool is_v4(const Address& address) noexcept {
  static constexpr Address kPrefix = ipv4_mapped(0, 0, 0, 0);
  return std::memcmp(address.data(), kPrefix.data(), 12) == 0;
}

// Ports in host order. Each value is a possible connection; equality is of all four.
struct FourTuple {
  Address local{};
  Address remote{};
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  // The bytes: cheaper than a call for each array.
  friend bool operator==(const FourTuple& a, const FourTuple& b) noexcept {
    uint64_t x[4], y[4];
    std::memcpy(x, &a, sizeof x);
    std::memcpy(y, &b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0 &&
           a.local_port == b.local_port && a.remote_port == b.remote_port;
  }
};
static_assert(sizeof(FourTuple) == 36);

// RFC 9293 MUST-15: the MSS of a peer that does not say.
[[nodiscard]] inline uint16_t default_mss(const FourTuple& tuple) noexcept {
  return is_v4(tuple.remote) ? 536 : 1220;
}

// A keyed function of the tuple and one more word, which separates the uses of a key.
[[nodiscard]] inline uint64_t keyed(const SipKey& key, const FourTuple& t, uint64_t more) noexcept {
  std::array<uint64_t, 6> words{};
  std::memcpy(words.data(), t.local.data(), 16);
  std::memcpy(&words[2], t.remote.data(), 16);
  words[4] = uint64_t{t.local_port} << 16 | t.remote_port;
  words[5] = more;
  return siphash24(key, words);
}

// The hash for tables. Each half of the addresses is mixed with half of a secret random key by a
// 64 × 64 → 128 bit multiplication, so nobody outside can tell which tuples collide, and chains
// stay short under hash flooding. Its values never leave the machine, so it need not be a SipHash.
struct TupleHash {
  SipKey key;
  [[nodiscard]] size_t operator()(const FourTuple& t) const noexcept {
    uint64_t words[4];
    std::memcpy(words, t.local.data(), 16);
    std::memcpy(words + 2, t.remote.data(), 16);
    const uint64_t ports = uint64_t{t.local_port} << 16 | t.remote_port;
    const uint64_t a = mix(words[0] ^ key.k0, words[1] ^ key.k1);
    const uint64_t b = mix(words[2] ^ key.k1, words[3] ^ ports << 32 ^ key.k0);
    return mix(a ^ b ^ key.k0, ports ^ key.k1 ^ 0x9e3779b97f4a7c15);
  }

 private:
  [[nodiscard]] static uint64_t mix(uint64_t a, uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{a} * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
};

}  // namespace paste::tcp
