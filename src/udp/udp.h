// UDP over either version of IP: RFC 768, RFC 1122 §4.1, RFC 8200 §8.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "paste/result.h"
#include "paste/slot.h"
#include "wire/ip.h"

namespace paste::udp {

struct Datagram {
  wire::IpAddress local;
  wire::IpAddress remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;  // 0: the sender wants no answer (RFC 768)
  uint32_t endpoint = 0;     // who bound the port
  Slice payload{};           // offset and length within the frame; its buffer is not known here
};

// Why a frame gave no datagram.
enum class Refused : uint8_t {
  malformed,
  not_udp,
  fragment,      // there is no reassembly: datagrams are to fit (RFC 8085 §3.2)
  bad_checksum,  // or none, over IPv6
  bad_address,   // the source is no address of one host
  no_port,       // nobody has bound it: an ICMP error is due (RFC 1122 §4.1.3.1)
};
inline constexpr size_t kRefusedKinds = 6;

// The ports that are bound. Not thread-safe.
class Endpoints {
 public:
  Endpoints() : bound_(65536, kNobody) {}

  // Errors: in_use, invalid (port 0, or the largest 32-bit number as endpoint).
  Result<> bind(uint16_t port, uint32_t endpoint);
  void unbind(uint16_t port) noexcept { bound_[port] = kNobody; }

  // nullopt: `why` says why, and it is counted.
  [[nodiscard]] std::optional<Datagram> arrive(Bytes frame, Refused& why) noexcept;
  [[nodiscard]] uint64_t refused(Refused why) const noexcept {
    return refused_[static_cast<size_t>(why)];
  }

 private:
  static constexpr uint32_t kNobody = UINT32_MAX;
  [[nodiscard]] std::optional<Datagram> parse(Bytes frame, Refused& why) const noexcept;

  std::vector<uint32_t> bound_;  // by port
  uint64_t refused_[kRefusedKinds] = {};
};

inline constexpr size_t kHeadersMax = wire::kEthernetHeaderLength + wire::kIpv6HeaderLength + 8;

// Writes the headers of a datagram from local to remote, the checksum included, and returns their
// length; the payload follows, and is not copied. Its slices lie in `memory` at buffer ×
// buffer_size
// + offset. `mtu`: the largest IP packet. Errors: too_large (nothing is ever sent in fragments),
// invalid (the addresses are of two versions). REQUIRES: headers.size() >= kHeadersMax.
[[nodiscard]] Result<size_t> emit(const Datagram& to, std::span<const Slice> payload, Bytes memory,
                                  size_t buffer_size, size_t mtu, std::span<std::byte> headers);

}  // namespace paste::udp
