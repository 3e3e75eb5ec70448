// Numbers of protocols above IP, and the two low bits of its traffic class.
#pragma once

#include <cstdint>

namespace paste::wire {

inline constexpr uint8_t kProtocolIcmpV4 = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpV6 = 58;
inline constexpr uint8_t kProtocolNone = 59;  // IPv6: nothing follows

// RFC 3168 §5.
inline constexpr uint8_t kEcnMask = 3;
inline constexpr uint8_t kEcnNotCapable = 0;
inline constexpr uint8_t kEcnCapable1 = 1;
inline constexpr uint8_t kEcnCapable0 = 2;
inline constexpr uint8_t kEcnCongestion = 3;

}  // namespace paste::wire
