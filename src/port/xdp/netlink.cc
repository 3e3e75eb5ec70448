#include "port/xdp/netlink.h"

#include <linux/genetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
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

tcp::Address get_address(const nlattr* attribute) {
  tcp::Address address{};
  if (mnl_attr_get_payload_len(attribute) == 4) {
    address = tcp::ipv4_mapped(0, 0, 0, 0);
    std::memcpy(&address[12], mnl_attr_get_payload(attribute), 4);
  } else if (mnl_attr_get_payload_len(attribute) == 16) {
    std::memcpy(address.data(), mnl_attr_get_payload(attribute), 16);
  }
  return address;
}

void put_generic(nlmsghdr* request, uint16_t family, uint8_t command) {
  request->nlmsg_type = family;
  auto* header = static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(request, sizeof(genlmsghdr)));
  header->cmd = command;
  header->version = 1;
}

uint16_t netdev_family() {
  static const uint16_t found = [] {
    std::array<char, 256> buffer{};
    nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
    put_generic(request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
    mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, "netdev");
    uint16_t family = 0;
    (void)ask_netlink(NETLINK_GENERIC, request, [&](const nlmsghdr* answer) {
      each_attribute(answer, sizeof(genlmsghdr), [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID) {
          family = mnl_attr_get_u16(attribute);
        }
      });
    });
    return family;
  }();
  return found;
}

}  // namespace paste::port
