#include "port/kernel/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace paste::port {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
};

bool set_option(int fd, int level, int name, int value) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Unexpected socket_failure(std::string_view what, const Endpoint& endpoint, int os_error) {
  const std::string text = std::string(what) + " " + to_string(endpoint);
  switch (os_error) {
    case EADDRINUSE:
      return fail(Code::in_use, text, os_error);
    case EACCES:
    case EPERM:
      return fail(Code::permission, text, os_error);
    case EADDRNOTAVAIL:
      return fail(Code::invalid, text + ": it is not an address of this machine", os_error);
    case ENOENT:
    case ENOTDIR:
      return fail(Code::invalid, text + ": the directory is missing", os_error);
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return fail(Code::unsupported, text, os_error);
    default:
      return fail(Code::io, text, os_error);
  }
}

Result<Address> unix_address(const Endpoint& endpoint) {
  Address address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  if (endpoint.host.empty() || endpoint.host.size() >= sizeof un.sun_path) {
    return fail(Code::invalid, "the path of a unix socket has 1 to 107 bytes: " + endpoint.host);
  }
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, endpoint.host.data(), endpoint.host.size());
  address.length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + endpoint.host.size() + 1);
  return address;
}

// `any_ipv4`: "*" as the IPv4 wildcard, for machines without IPv6.
Result<Address> to_address(const Endpoint& endpoint, bool any_ipv4 = false) {
  if (endpoint.transport == Transport::unix_stream) return unix_address(endpoint);
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  const bool any = endpoint.host.empty() || endpoint.host == "*";
  if ((any && any_ipv4) || ::inet_pton(AF_INET, endpoint.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    address.length = sizeof v4;
    return address;
  }
  const size_t percent = endpoint.host.find('%');
  if (!any && ::inet_pton(AF_INET6, endpoint.host.substr(0, percent).c_str(), &v6.sin6_addr) != 1) {
    return fail(Code::invalid, "not an IPv4 or IPv6 address: " + endpoint.host);
  }
  if (percent != std::string::npos) {
    v6.sin6_scope_id = ::if_nametoindex(endpoint.host.c_str() + percent + 1);
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  address.length = sizeof v6;
  return address;
}

Endpoint to_endpoint(const Address& address, Transport transport) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return {text, ntohs(v4.sin_port), transport};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return {text, ntohs(v6.sin6_port), transport};
}

int socket_type(Transport transport, Blocking blocking) {
  const int type = transport == Transport::udp ? SOCK_DGRAM : SOCK_STREAM;
  return type | SOCK_CLOEXEC | (blocking == Blocking::no ? SOCK_NONBLOCK : 0);
}

// A file of an earlier process that nobody listens on is removed; anything else stays.
Result<void> clear_unix_path(const Endpoint& endpoint, const Address& address) {
  struct stat info {};
  if (::lstat(endpoint.host.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Code::in_use,
                "cannot listen on " + to_string(endpoint) + ": the file exists and is no socket");
  }
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() < 0) return socket_failure("cannot listen on", endpoint, errno);
  if (::connect(probe.get(), address.get(), address.length) == 0 || errno == EAGAIN) {
    return fail(Code::in_use,
                "cannot listen on " + to_string(endpoint) + ": another process listens there");
  }
  if (errno == EACCES) return socket_failure("cannot listen on", endpoint, errno);
  if (errno == ECONNREFUSED) ::unlink(endpoint.host.c_str());
  return {};
}

// Accepted connections inherit what is set here.
void set_listener_options(int fd, const Address& address, Transport transport) {
  if (address.family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) ? 0 : 1);
  }
  if (transport == Transport::tcp) {
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  }
}

Result<void> note_bound(const Endpoint& endpoint, ListenSocket& socket) {
  socket.bound = endpoint;
  if (endpoint.transport == Transport::unix_stream) {
    struct stat info {};
    if (::lstat(endpoint.host.c_str(), &info) == 0) {
      socket.device = info.st_dev;
      socket.inode = info.st_ino;
    }
    return {};
  }
  Address address;
  address.length = sizeof address.storage;
  if (::getsockname(socket.fd.get(), address.get(), &address.length) != 0) {
    return socket_failure("cannot listen on", endpoint, errno);
  }
  socket.bound.port = to_endpoint(address, endpoint.transport).port;
  if (endpoint.host.empty()) socket.bound.host = "*";
  return {};
}

}  // namespace

namespace {
Result<ListenSocket> bind_socket(const Endpoint& endpoint, Address& address, Blocking blocking) {
  const int type = socket_type(endpoint.transport, blocking);
  ListenSocket socket;
  socket.fd = Descriptor(::socket(address.family(), type, 0));
  if (socket.fd.get() < 0 && errno == EAFNOSUPPORT) {
    PASTE_TRY_ASSIGN(address, to_address(endpoint, true));
    socket.fd = Descriptor(::socket(address.family(), type, 0));
  }
  const int fd = socket.fd.get();
  if (fd < 0) return socket_failure("cannot listen on", endpoint, errno);
  set_listener_options(fd, address, endpoint.transport);
  if (::bind(fd, address.get(), address.length) != 0) {
    return socket_failure("cannot listen on", endpoint, errno);
  }
  PASTE_TRY(note_bound(endpoint, socket));
  return socket;
}
}  // namespace

Result<ListenSocket> hold_port(const Endpoint& endpoint) {
  PASTE_TRY_ASSIGN(Address address, to_address(endpoint));
  return bind_socket(endpoint, address, Blocking::no);
}

Result<ListenSocket> open_listener(const Endpoint& endpoint, Blocking blocking) {
  constexpr int kBacklog = 4096;
  PASTE_TRY_ASSIGN(Address address, to_address(endpoint));
  if (endpoint.transport == Transport::unix_stream) PASTE_TRY(clear_unix_path(endpoint, address));
  PASTE_TRY_ASSIGN(ListenSocket socket, bind_socket(endpoint, address, blocking));
  if (endpoint.transport != Transport::udp && ::listen(socket.fd.get(), kBacklog) != 0) {
    const int os_error = errno;
    remove_unix_file(socket);
    return socket_failure("cannot listen on", endpoint, os_error);
  }
  return socket;
}

void remove_unix_file(const ListenSocket& socket) noexcept {
  if (socket.bound.transport != Transport::unix_stream || socket.inode == 0) return;
  struct stat info {};
  if (::lstat(socket.bound.host.c_str(), &info) == 0 && info.st_dev == socket.device &&
      info.st_ino == socket.inode) {
    ::unlink(socket.bound.host.c_str());
  }
}

Result<Dialled> dial(const Endpoint& endpoint, Blocking blocking) {
  if (endpoint.transport == Transport::udp) {
    return fail(Code::invalid, "connections are not made over datagrams; listen for them");
  }
  if (endpoint.host == "*" || endpoint.host.empty()) {
    return fail(Code::invalid, "an address to connect to names one host");
  }
  PASTE_TRY_ASSIGN(const Address address, to_address(endpoint));
  // Non-blocking while it connects, whatever it is afterwards.
  Dialled dialled;
  dialled.fd =
      Descriptor(::socket(address.family(), socket_type(endpoint.transport, Blocking::no), 0));
  const int fd = dialled.fd.get();
  if (fd < 0) return socket_failure("cannot connect to", endpoint, errno);
  if (endpoint.transport == Transport::tcp) set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (::connect(fd, address.get(), address.length) != 0) dialled.os_error = errno;
  if (blocking == Blocking::yes) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  return dialled;
}

int dial_result(int fd) noexcept {
  int os_error = 0;
  socklen_t length = sizeof os_error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_error, &length) != 0) return errno;
  return os_error;
}

void reset_socket(int fd) noexcept {
  // The last close() would reset too, but operations under way keep the socket open; so it is
  // dissolved first. Unix sockets know neither.
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  if (::connect(fd, &nobody, sizeof nobody) != 0) ::shutdown(fd, SHUT_RDWR);
}

std::string peer_text(int fd) {
  Address address;
  address.length = sizeof address.storage;
  if (::getpeername(fd, address.get(), &address.length) != 0) return {};
  if (address.family() == AF_UNIX) return "unix socket";
  return to_string(to_endpoint(address, Transport::tcp));
}

}  // namespace paste::port
