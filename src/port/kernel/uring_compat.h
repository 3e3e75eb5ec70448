// Of io_uring, what is newer than the headers that we build with; probed at run time.
#pragma once

#include <cstdint>

namespace paste::port {

// Linux 6.9: the thread that waits polls the devices of its sockets itself.
inline constexpr unsigned kRegisterNapi = 27;
struct UringNapi {
  uint32_t busy_poll_us;
  uint8_t prefer_busy_poll;
  uint8_t reserved0[3];
  uint64_t reserved1;
};
static_assert(sizeof(UringNapi) == 16);

}  // namespace paste::port
