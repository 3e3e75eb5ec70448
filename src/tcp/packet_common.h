// The packets that nearly all are, in as few instructions as it takes: Ethernet without tags, IPv4
// without options, TCP with no option or just timestamps. Everything else, and everything that is
// wrong, goes the general way of packet.cc, which gives the same result for these, too.
#pragma once

#include "tcp/packet.h"

namespace paste::tcp::common {

// The layout that RFC 7323 Appendix A recommends: NOP NOP TSopt.
inline constexpr uint32_t kTimestampsWord = 0x0101080A;

// False: `packet` is not changed, and parse_packet() has to look.
[[nodiscard]] bool parse(Bytes frame, Packet& packet) noexcept;

// emit_packet() for such a packet. 0: it is none, and nothing was written.
[[nodiscard]] size_t emit(const FourTuple& tuple, const Outgoing& out, Bytes memory,
                          size_t buffer_size, std::span<std::byte> headers) noexcept;

}  // namespace paste::tcp::common

// The general way, for all packets; that both give the same is tested.
namespace paste::tcp::general {
[[nodiscard]] std::optional<Refusal> parse(Bytes frame, Packet& packet) noexcept;
[[nodiscard]] size_t emit(const FourTuple& tuple, const Outgoing& out, Bytes memory,
                          size_t buffer_size, std::span<std::byte> headers) noexcept;
}  // namespace paste::tcp::general
