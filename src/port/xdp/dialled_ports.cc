#include "port/xdp/dialled_ports.h"

#include <sys/socket.h>

#include "port/xdp/socket_address.h"

namespace paste::port {
namespace {

Descriptor bind_stream(const tcp::Address& local, uint16_t port) {
  const SocketAddress at(local, port);
  Descriptor fd(::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() >= 0 && ::bind(fd.get(), at.get(), at.length()) != 0) fd = Descriptor();
  return fd;
}

}  // namespace

bool DialledPorts::keep(uint16_t number, const tcp::Address& local, Steering& steering) {
  Port& port = ports_[number];
  if (port.connections == 0) {
    port.kept = bind_stream(local, number);
    if (port.kept.get() < 0) {
      ports_.erase(number);
      return false;
    }
    steering.claim_port(number);
  }
  ++port.connections;
  return true;
}

void DialledPorts::give_up(uint16_t number, Steering& steering) {
  const auto found = ports_.find(number);
  if (--found->second.connections != 0) return;
  steering.give_up_port(number);
  ports_.erase(found);
}

}  // namespace paste::port
