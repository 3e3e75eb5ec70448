// An address of the engine's as the kernel's sockets want it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "tcp/tuple.h"

namespace paste::port {

class SocketAddress {
 public:
  // `ifindex` matters for link-local addresses only.
  SocketAddress(const tcp::Address& address, uint16_t port, int ifindex = 0) {
    if (tcp::is_v4(address)) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      std::memcpy(&v4.sin_addr, &address[12], 4);
      std::memcpy(&storage_, &v4, length_ = sizeof v4);
    } else {
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      std::memcpy(&v6.sin6_addr, address.data(), 16);
      if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) v6.sin6_scope_id = static_cast<uint32_t>(ifindex);
      std::memcpy(&storage_, &v6, length_ = sizeof v6);
    }
  }
  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  [[nodiscard]] socklen_t length() const noexcept { return length_; }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace paste::port
