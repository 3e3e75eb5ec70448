#include "port/xdp/netlink.h"

#include <array>
#include <cerrno>
#include <memory>

namespace paste::port {
namespace {

struct CloseSocket {
  void operator()(mnl_socket* socket) const noexcept { mnl_socket_close(socket); }
};

}  // namespace

int ask_netlink(int protocol, nlmsghdr* request, const TakeMessage& take) {
  const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open(protocol));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return errno;
  request->nlmsg_flags = static_cast<uint16_t>(request->nlmsg_flags | NLM_F_REQUEST);
  request->nlmsg_seq = 1;
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) return errno;
  // One message answers a question; a dump ends with NLMSG_DONE, an order with NLMSG_ERROR.
  const bool many = (request->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)) != 0;
  std::array<char, 16384> answer{};
  do {
    const ssize_t n = mnl_socket_recvfrom(socket.get(), answer.data(), answer.size());
    if (n < 0) return errno;
    int left = static_cast<int>(n);
    const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type == NLMSG_DONE) return 0;
      if (message->nlmsg_type == NLMSG_ERROR) {
        return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
      }
      take(message);
    }
  } while (many);
  return 0;
}

}  // namespace paste::port
