#include "port/sim/ecn.h"

#include <cstdint>

namespace paste::sim {
namespace {

constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kIpv6 = 0x86dd;
constexpr uint16_t kVlan = 0x8100;
constexpr size_t kIpv4Checksum = 10;

uint16_t load16(const Frame& frame, size_t at) noexcept {
  return static_cast<uint16_t>(std::to_integer<unsigned>(frame[at]) << 8 |
                               std::to_integer<unsigned>(frame[at + 1]));
}

void store16(Frame& frame, size_t at, uint32_t value) noexcept {
  frame[at] = static_cast<std::byte>(value >> 8 & 0xff);
  frame[at + 1] = static_cast<std::byte>(value & 0xff);
}

// `shift` is where the two ECN bits are in the word at `at`: 01 and 10 mean capable, 11 is the
// mark.
bool mark_word(Frame& frame, size_t at, unsigned shift) noexcept {
  const uint32_t word = load16(frame, at);
  const uint32_t bits = word >> shift & 3;
  if (bits == 0 || bits == 3) return false;
  store16(frame, at, word | 3u << shift);
  return true;
}

// RFC 1624 §3: HC' = ~(~HC + ~m + m').
void repair_checksum(Frame& frame, size_t at, uint32_t before, uint32_t after) noexcept {
  uint32_t sum = (~uint32_t{load16(frame, at)} & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store16(frame, at, ~sum & 0xffff);
}

}  // namespace

bool mark_ce(Frame& frame) noexcept {
  if (frame.size() < kEthernetHeader + 4) return false;
  size_t ip = kEthernetHeader;
  uint16_t type = load16(frame, ip - 2);
  if (type == kVlan) {
    ip += 4;
    type = load16(frame, ip - 2);
  }
  if (type == kIpv4 && frame.size() >= ip + 20) {
    const uint16_t before = load16(frame, ip);
    if (before >> 12 != 4 || !mark_word(frame, ip, 0)) return false;
    repair_checksum(frame, ip + kIpv4Checksum, before, load16(frame, ip));
    return true;
  }
  // The traffic class is bits 4 to 11 of the header (RFC 8200 §3).
  if (type == kIpv6 && frame.size() >= ip + 40) {
    return load16(frame, ip) >> 12 == 6 && mark_word(frame, ip, 4);
  }
  return false;
}

}  // namespace paste::sim
