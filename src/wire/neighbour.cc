#include "wire/neighbour.h"

#include <optional>

namespace paste::wire {
namespace {

constexpr uint32_t kRouter = 0x80000000u;
constexpr uint32_t kSolicited = 0x40000000u;
constexpr uint32_t kOverride = 0x20000000u;
constexpr uint8_t kOptionSourceMac = 1;
constexpr uint8_t kOptionTargetMac = 2;
constexpr uint8_t kTypeSolicitation = 135;
constexpr uint8_t kTypeAdvertisement = 136;

std::optional<Malformed> read_options(Bytes bytes, NeighbourMessage& to) noexcept {
  const uint8_t wanted = to.is_advertisement ? kOptionTargetMac : kOptionSourceMac;
  for (size_t at = 0; at < bytes.size();) {
    if (bytes.size() - at < 2) return Malformed::neighbour_option_length;
    const size_t length = load8(bytes, at + 1) * size_t{8};
    if (length == 0 || length > bytes.size() - at) return Malformed::neighbour_option_length;
    if (load8(bytes, at) == wanted && length == 8) {
      to.has_mac = true;
      to.mac = MacAddress::load(bytes, at + 2);
    }
    at += length;
  }
  return std::nullopt;
}

}  // namespace

ParseResult<NeighbourMessage> NeighbourMessage::parse(const IcmpMessage& message) noexcept {
  const IcmpKind kind = message.header.kind();
  PASTE_CHECK(kind == IcmpKind::neighbour_solicitation ||
              kind == IcmpKind::neighbour_advertisement);
  if (message.header.code != 0) return malformed(Malformed::neighbour_code);
  if (message.body.size() < 16) return malformed(Malformed::neighbour_truncated);
  NeighbourMessage neighbour;
  neighbour.target = IpAddress::load_v6(message.body, 0);
  if (neighbour.target.is_multicast()) return malformed(Malformed::neighbour_target);
  if (neighbour.target.is_v4()) return malformed(Malformed::ipv6_mapped_address);
  if (kind == IcmpKind::neighbour_advertisement) {
    neighbour.is_advertisement = true;
    neighbour.router = (message.header.rest & kRouter) != 0;
    neighbour.solicited = (message.header.rest & kSolicited) != 0;
    neighbour.overrides = (message.header.rest & kOverride) != 0;
  }
  if (const auto bad = read_options(message.body.subspan(16), neighbour)) return malformed(*bad);
  return neighbour;
}

size_t emit(const NeighbourMessage& message, const IpAddress& source, const IpAddress& destination,
            MutableBytes out) noexcept {
  const size_t length = message.length();
  PASTE_CHECK(out.size() >= length);
  PASTE_CHECK(!message.target.is_v4());
  store8(out, 0, message.is_advertisement ? kTypeAdvertisement : kTypeSolicitation);
  store8(out, 1, 0);
  store16(out, 2, 0);
  store32(out, 4,
          message.is_advertisement
              ? (message.router ? kRouter : 0) | (message.solicited ? kSolicited : 0) |
                    (message.overrides ? kOverride : 0)
              : 0);
  message.target.store(out, kIcmpHeaderLength);
  if (message.has_mac) {
    store8(out, 24, message.is_advertisement ? kOptionTargetMac : kOptionSourceMac);
    store8(out, 25, 1);
    message.mac.store(out, 26);
  }
  const uint32_t pseudo =
      pseudo_header_sum(source, destination, kProtocolIcmpV6, static_cast<uint32_t>(length));
  store16(out, 2, checksum(out.first(length), pseudo));
  return length;
}

}  // namespace paste::wire
