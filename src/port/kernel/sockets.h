// The kernel's sockets: addresses, listeners, dialling, and the ways to end a connection.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "paste/endpoint.h"
#include "paste/result.h"

namespace paste::port {

// A descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// Whether calls on a socket return EAGAIN by themselves. io_uring needs blocking sockets: it waits
// for readiness itself, and hands EAGAIN of a non-blocking one to the program instead.
enum class Blocking : uint8_t { yes, no };

// A listening socket, or a bound one for datagrams.
struct ListenSocket {
  Descriptor fd;
  Endpoint bound;  // with the port really used
  // The file of a unix socket, to be removed at the end if it is still this one.
  dev_t device = 0;
  ino_t inode = 0;
};
// Errors: in_use, permission, invalid, unsupported, io; the sentence names the endpoint.
[[nodiscard]] Result<ListenSocket> open_listener(const Endpoint& endpoint, Blocking blocking);
// A socket that keeps the port from other programs and listens to nothing. Errors: the same.
[[nodiscard]] Result<ListenSocket> hold_port(const Endpoint& endpoint);
void remove_unix_file(const ListenSocket& socket) noexcept;

// A connection begun. `os_error`: 0, EINPROGRESS (it will be writable), or why it failed.
struct Dialled {
  Descriptor fd;
  int os_error = 0;
};
// Errors: invalid, io (no descriptor to be had).
[[nodiscard]] Result<Dialled> dial(const Endpoint& endpoint, Blocking blocking);
// What became of it, once writable: 0 or an errno.
[[nodiscard]] int dial_result(int fd) noexcept;

// Discards what the kernel has not sent and resets the connection now, whoever else holds the
// descriptor.
void reset_socket(int fd) noexcept;

// "203.0.113.7:50412"; empty if the socket is not connected.
[[nodiscard]] std::string peer_text(int fd);

}  // namespace paste::port
