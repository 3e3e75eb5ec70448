#include "port/xdp/link_watch.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "port/xdp/netlink.h"

namespace paste::port {
namespace {

constexpr unsigned kGroups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;

wire::MacAddress get_mac(const nlattr* attribute) {
  wire::MacAddress mac;
  std::memcpy(mac.octets.data(), mnl_attr_get_payload(attribute), mac.octets.size());
  return mac;
}

}  // namespace

Result<std::unique_ptr<LinkWatch>> LinkWatch::open(int ifindex) {
  std::unique_ptr<LinkWatch> made(new LinkWatch);
  made->ifindex_ = ifindex;
  made->socket_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (made->socket_ == nullptr || mnl_socket_bind(made->socket_, kGroups, MNL_SOCKET_AUTOPID) < 0) {
    return fail(Code::io, "the kernel does not tell about changes of interfaces", errno);
  }
  made->ask(RTM_GETADDR);
  return made;
}

LinkWatch::~LinkWatch() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

int LinkWatch::fd() const noexcept { return mnl_socket_get_fd(socket_); }

// All there is of a kind, told like news. Addresses that went meanwhile are not missed by anybody:
// segments to them no longer come.
void LinkWatch::ask(uint16_t what) noexcept {
  std::array<char, 128> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = what;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  mnl_nlmsg_put_extra_header(request, what == RTM_GETADDR ? sizeof(ifaddrmsg) : sizeof(ndmsg));
  asked_ = mnl_socket_sendto(socket_, request, request->nlmsg_len) < 0 ? uint16_t{0} : what;
}

void LinkWatch::take(const LinkNews& news) {
  alignas(nlmsghdr) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket_, buffer.data(), buffer.size());
    if (n < 0 && errno == ENOBUFS) {
      ask(RTM_GETADDR);
      continue;
    }
    if (n <= 0) return;
    int left = static_cast<int>(n);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      tell(message, news);
    }
  }
}

void LinkWatch::tell(const nlmsghdr* message, const LinkNews& news) {
  const void* const header = mnl_nlmsg_get_payload(message);
  switch (message->nlmsg_type) {
    case NLMSG_DONE:
      asked_ == RTM_GETADDR ? ask(RTM_GETNEIGH) : static_cast<void>(asked_ = 0);
      return;
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      if (static_cast<int>(static_cast<const ifaddrmsg*>(header)->ifa_index) != ifindex_) return;
      // IFA_LOCAL is what IPv4 has, IFA_ADDRESS is the other end then on point-to-point links.
      tcp::Address address{};
      bool local = false;
      each_attribute(message, sizeof(ifaddrmsg), [&](const nlattr* attribute) {
        const uint16_t type = mnl_attr_get_type(attribute);
        if (type != IFA_LOCAL && (type != IFA_ADDRESS || local)) return;
        local = type == IFA_LOCAL;
        address = get_address(attribute);
      });
      if (address != tcp::Address{}) news.address(address, message->nlmsg_type == RTM_NEWADDR);
      return;
    }
    case RTM_NEWNEIGH: {
      const auto* neighbour = static_cast<const ndmsg*>(header);
      constexpr int kUnknown = NUD_INCOMPLETE | NUD_FAILED | NUD_NONE | NUD_NOARP;
      if (neighbour->ndm_ifindex != ifindex_ || (neighbour->ndm_state & kUnknown) != 0) return;
      tcp::Address address{};
      wire::MacAddress mac;
      each_attribute(message, sizeof(ndmsg), [&](const nlattr* attribute) {
        const uint16_t type = mnl_attr_get_type(attribute);
        if (type == NDA_DST) address = get_address(attribute);
        if (type == NDA_LLADDR && mnl_attr_get_payload_len(attribute) == 6) {
          mac = get_mac(attribute);
        }
      });
      if (address != tcp::Address{} && mac != wire::MacAddress{}) news.neighbour(address, mac);
      return;
    }
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const auto* link = static_cast<const ifinfomsg*>(header);
      // A bridge's port tells of itself, too, with a family of its own.
      if (link->ifi_index != ifindex_ || link->ifi_family != AF_UNSPEC) return;
      wire::MacAddress mac;
      each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == IFLA_ADDRESS &&
            mnl_attr_get_payload_len(attribute) == 6) {
          mac = get_mac(attribute);
        }
      });
      news.link(mac, (link->ifi_flags & IFF_UP) != 0, message->nlmsg_type == RTM_NEWLINK);
      return;
    }
    default:
      return;
  }
}

}  // namespace paste::port
