// Addresses of Ethernet and of both versions of IP.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "wire/bytes.h"

namespace paste::wire {

struct MacAddress {
  std::array<uint8_t, 6> octets{};

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
  // REQUIRES: at + 6 <= bytes.size().
  [[nodiscard]] static MacAddress load(Bytes bytes, size_t at) noexcept {
    MacAddress address;
    std::memcpy(address.octets.data(), bytes.data() + at, 6);
    return address;
  }
  // REQUIRES: at + 6 <= bytes.size().
  void store(MutableBytes bytes, size_t at) const noexcept {
    std::memcpy(bytes.data() + at, octets.data(), 6);
  }
  [[nodiscard]] constexpr bool is_broadcast() const noexcept { return *this == broadcast(); }
  // Of a group, broadcast included.
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return (octets[0] & 1) != 0; }
  [[nodiscard]] constexpr bool is_zero() const noexcept { return *this == MacAddress{}; }
  [[nodiscard]] static constexpr MacAddress broadcast() noexcept {
    return {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
  }
};

// An address of IPv4 or IPv6. Invariant: IPv4 a.b.c.d is kept as the IPv4-mapped ::ffff:a.b.c.d,
// which never is the address of an IPv6 packet (the parser refuses it), so that the 16 bytes say
// which version it is and compare as a whole. The default is IPv6's unspecified address.
struct IpAddress {
  std::array<uint8_t, 16> octets{};

  friend constexpr bool operator==(const IpAddress&, const IpAddress&) = default;

  // `address` is a.b.c.d as 0xAABBCCDD.
  [[nodiscard]] static constexpr IpAddress from_v4(uint32_t address) noexcept {
    IpAddress made;
    made.octets[10] = made.octets[11] = 0xFF;
    for (size_t i = 0; i < 4; ++i) {
      made.octets[12 + i] = static_cast<uint8_t>(address >> (24 - 8 * i));
    }
    return made;
  }
  // REQUIRES: at + 4 <= bytes.size().
  [[nodiscard]] static IpAddress load_v4(Bytes bytes, size_t at) noexcept {
    return from_v4(load32(bytes, at));
  }
  [[nodiscard]] static constexpr IpAddress from_v6(const std::array<uint8_t, 16>& octets) noexcept {
    return {octets};
  }
  // REQUIRES: at + 16 <= bytes.size().
  [[nodiscard]] static IpAddress load_v6(Bytes bytes, size_t at) noexcept {
    IpAddress made;
    std::memcpy(made.octets.data(), bytes.data() + at, 16);
    return made;
  }

  [[nodiscard]] bool is_v4() const noexcept {
    const Bytes all = bytes();
    return load64(all, 0) == 0 && load32(all, 8) == 0x0000FFFFu;
  }
  // REQUIRES: is_v4().
  [[nodiscard]] uint32_t v4() const noexcept { return load32(bytes(), 12); }
  // The 16 bytes; those of IPv4 are the last four.
  [[nodiscard]] Bytes bytes() const noexcept {
    return {reinterpret_cast<const std::byte*>(octets.data()), 16};
  }
  // Its 4 or 16 bytes as a packet has them.
  [[nodiscard]] Bytes wire_bytes() const noexcept { return is_v4() ? bytes().last(4) : bytes(); }
  // REQUIRES: room for wire_bytes() from `at`.
  void store(MutableBytes out, size_t at) const noexcept {
    const Bytes from = wire_bytes();
    std::memcpy(out.data() + at, from.data(), from.size());
  }

  [[nodiscard]] bool is_unspecified() const noexcept {
    return is_v4() ? v4() == 0 : *this == IpAddress{};
  }
  [[nodiscard]] bool is_loopback() const noexcept {  // 127/8, ::1
    return is_v4() ? v4() >> 24 == 127 : load64(bytes(), 0) == 0 && load64(bytes(), 8) == 1;
  }
  [[nodiscard]] bool is_multicast() const noexcept {  // 224/4, ff00::/8
    return is_v4() ? v4() >> 28 == 14 : octets[0] == 0xFF;
  }
  // The limited broadcast 255.255.255.255; that of a subnet depends on its mask.
  [[nodiscard]] bool is_broadcast() const noexcept { return is_v4() && v4() == 0xFFFFFFFFu; }
  [[nodiscard]] bool is_link_local() const noexcept {  // 169.254/16, fe80::/10
    return is_v4() ? v4() >> 16 == 0xA9FE : octets[0] == 0xFE && (octets[1] & 0xC0) == 0x80;
  }
};
static_assert(sizeof(IpAddress) == 16);

// The group in which the owner of an IPv6 address listens for solicitations: RFC 4291 §2.7.1.
[[nodiscard]] inline IpAddress solicited_node(const IpAddress& target) noexcept {
  const auto& t = target.octets;
  return {{0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, t[13], t[14], t[15]}};
}

// For messages: "02:00:5e:10:00:01", "192.0.2.1", "2001:db8::1" (RFC 5952). They allocate.
[[nodiscard]] std::string to_string(const MacAddress& address);
[[nodiscard]] std::string to_string(const IpAddress& address);

}  // namespace paste::wire
