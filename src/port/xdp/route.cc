#include "port/xdp/route.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "port/kernel/sockets.h"
#include "port/xdp/netlink.h"
#include "port/xdp/socket_address.h"

namespace paste::port {
namespace {

void put_address(nlmsghdr* message, uint16_t type, const tcp::Address& address) {
  const bool v4 = tcp::is_v4(address);
  mnl_attr_put(message, type, v4 ? 4 : 16, address.data() + (v4 ? 12 : 0));
}

// A datagram to the discard port makes the kernel resolve the address.
void provoke(int ifindex, const tcp::Address& address) {
  constexpr uint16_t kDiscard = 9;
  const SocketAddress to(address, kDiscard, ifindex);
  const Descriptor fd(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)::sendto(fd.get(), "", 0, MSG_DONTWAIT, to.get(), to.length());
}

std::optional<wire::MacAddress> known_neighbour(int ifindex, const tcp::Address& address) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETNEIGH;
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
  header->ndm_family = tcp::is_v4(address) ? AF_INET : AF_INET6;
  header->ndm_ifindex = ifindex;
  put_address(request, NDA_DST, address);
  std::optional<wire::MacAddress> found;
  (void)ask_netlink(NETLINK_ROUTE, request, [&](const nlmsghdr* answer) {
    const auto* neighbour = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(answer));
    if ((neighbour->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NONE)) != 0) return;
    each_attribute(answer, sizeof(ndmsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) != NDA_LLADDR) return;
      if (mnl_attr_get_payload_len(attribute) != 6) return;
      found.emplace();
      std::memcpy(found->octets.data(), mnl_attr_get_payload(attribute), 6);
    });
  });
  return found;
}

}  // namespace

Result<Route> find_route(const tcp::Address& to) {
  std::array<char, 512> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  const bool v4 = tcp::is_v4(to);
  header->rtm_family = v4 ? AF_INET : AF_INET6;
  header->rtm_dst_len = v4 ? 32 : 128;
  put_address(request, RTA_DST, to);
  Route route;
  route.next_hop = to;
  const int error = ask_netlink(NETLINK_ROUTE, request, [&](const nlmsghdr* answer) {
    const auto* found = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
    route.local = found->rtm_type == RTN_LOCAL;
    each_attribute(answer, sizeof(rtmsg), [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (type == RTA_OIF) route.ifindex = static_cast<int>(mnl_attr_get_u32(attribute));
      if (type == RTA_PREFSRC) route.source = get_address(attribute);
      if (type == RTA_GATEWAY) route.next_hop = get_address(attribute);
    });
  });
  if (error == ENETUNREACH || error == EHOSTUNREACH) {
    return fail(Code::not_found, "there is no route to the address", error);
  }
  if (error != 0) return fail(Code::io, "the route cannot be asked for", error);
  return route;
}

Result<wire::MacAddress> find_neighbour(int ifindex, const tcp::Address& address) {
  constexpr int kTries = 100;
  constexpr useconds_t kPauseUs = 10'000;
  for (int i = 0; i < kTries; ++i) {
    if (const auto known = known_neighbour(ifindex, address)) return *known;
    if (i % 20 == 0) provoke(ifindex, address);
    ::usleep(kPauseUs);
  }
  return fail(Code::not_found, "nobody on the link answers for the address");
}

}  // namespace paste::port
