// The choice of an ephemeral port: RFC 6056 algorithm 4, double-hash port selection.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "tcp/tuple.h"

namespace paste::tcp {

// RFC 6056 §3.2: the range is as large as possible.
struct PortRange {
  uint16_t first = 32768;
  uint16_t last = 60999;  // included
};

// For one destination, ports follow each other from a secret place, so that a port returns late;
// destinations of different groups do not see each other's counters.
class Ports {
 public:
  // The keys are secret, different and new at each start (RFC 6056 §3.3.4).
  // REQUIRES: first <= last.
  Ports(PortRange range, SipKey offset_key, SipKey group_key) noexcept;

  // A port for a connection to `tuple`'s remote end from its local address; its local_port is
  // ignored. `free(uint16_t) -> bool` says that the resulting tuple is not in use. Tries each port
  // of the range at most once; nothing if all are taken.
  template <typename Free>
  std::optional<uint16_t> choose(FourTuple tuple, Free&& free) noexcept;

 private:
  static constexpr size_t kGroups = 256;  // RFC 6056 §3.3.4: TABLE_LENGTH
  struct Start {
    uint32_t offset;
    uint32_t* counter;
  };
  Start start(const FourTuple& tuple) noexcept;

  PortRange range_;
  SipKey offset_key_;
  SipKey group_key_;
  std::array<uint32_t, kGroups> counters_{};
};

template <typename Free>
std::optional<uint16_t> Ports::choose(FourTuple tuple, Free&& free) noexcept {
  tuple.local_port = 0;
  const Start from = start(tuple);
  const uint32_t count = uint32_t{range_.last} - range_.first + 1;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t place = uint64_t{from.offset} + (*from.counter)++;
    const auto port = static_cast<uint16_t>(range_.first + place % count);
    if (free(port)) return port;
  }
  return std::nullopt;
}

}  // namespace paste::tcp
