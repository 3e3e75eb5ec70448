// The local ports of connections that we began. The kernel chooses ports, too: each of ours is kept
// from it by a socket that is bound and never used, and steered to us while a connection has it.
#pragma once

#include "absl/container/flat_hash_map.h"
#include "port/kernel/sockets.h"
#include "port/xdp/steering.h"
#include "tcp/tuple.h"

namespace paste::port {

class DialledPorts {
 public:
  // One more connection has the port. False if another program has it.
  [[nodiscard]] bool keep(uint16_t port, const tcp::Address& local, Steering& steering);
  // One less. REQUIRES: keep() was true for it.
  void give_up(uint16_t port, Steering& steering);

 private:
  struct Port {
    uint32_t connections = 0;
    Descriptor kept;
  };
  absl::flat_hash_map<uint16_t, Port> ports_;
};

}  // namespace paste::port
