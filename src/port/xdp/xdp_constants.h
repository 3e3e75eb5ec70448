// What the build machine's kernel headers (6.1) do not have yet; probed at run time.
#pragma once

#include <linux/if_xdp.h>
#include <sys/socket.h>

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

}  // namespace paste::port
