// What the build machine's kernel headers (6.1) do not have yet; probed at run time.
#pragma once

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstdint>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

namespace paste::port {

// Linux 6.6: packets of several descriptors.
inline constexpr uint16_t kXdpUseSg = 1 << 4;
inline constexpr uint32_t kXdpPacketContinues = 1 << 0;

// Linux 6.13: io_uring polls the NAPI instances that it is given (struct io_uring_napi).
struct IoUringNapi {
  uint32_t busy_poll_to_us;
  uint8_t prefer_busy_poll;
  uint8_t operation;
  uint8_t pad[2];
  uint32_t parameter;
  uint32_t reserved;
};
inline constexpr unsigned kIoringRegisterNapi = 27;
inline constexpr uint8_t kNapiRegister = 0;
inline constexpr uint8_t kNapiStaticAdd = 1;
inline constexpr uint32_t kNapiTrackStatic = 1;

// Linux 6.8, 6.13: the netlink family "netdev" (uapi/linux/netdev.h).
inline constexpr uint8_t kNetdevDevGet = 1;
inline constexpr uint16_t kNetdevDevIfindex = 1;
inline constexpr uint16_t kNetdevDevXdpFeatures = 3;
inline constexpr uint16_t kNetdevDevXdpZcMaxSegs = 4;
inline constexpr uint16_t kNetdevDevReceiveHints = 5;
inline constexpr uint16_t kNetdevDevXskFeatures = 6;
inline constexpr uint8_t kNetdevNapiGet = 11;
inline constexpr uint8_t kNetdevNapiSet = 14;
inline constexpr uint16_t kNetdevNapiIfindex = 1;
inline constexpr uint16_t kNetdevNapiId = 2;
inline constexpr uint16_t kNetdevNapiDeferHardIrqs = 5;
inline constexpr uint16_t kNetdevNapiGroFlushTimeout = 6;

}  // namespace paste::port
