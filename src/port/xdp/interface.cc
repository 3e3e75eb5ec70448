#include "port/xdp/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "port/kernel/sockets.h"

namespace paste::port {
namespace {

std::string all_names() {
  std::string names;
  struct if_nameindex* list = ::if_nameindex();
  for (auto* one = list; one != nullptr && one->if_index != 0; ++one) {
    names += (names.empty() ? "" : ", ") + std::string(one->if_name);
  }
  ::if_freenameindex(list);
  return names;
}

tcp::Address address_of(const sockaddr& from) {
  tcp::Address address{};
  if (from.sa_family == AF_INET) {
    address = tcp::ipv4_mapped(0, 0, 0, 0);
    std::memcpy(&address[12], &reinterpret_cast<const sockaddr_in&>(from).sin_addr, 4);
  } else {
    std::memcpy(address.data(), &reinterpret_cast<const sockaddr_in6&>(from).sin6_addr, 16);
  }
  return address;
}

// A VLAN's interface is on another one; vlan_ioctl_args of <linux/if_vlan.h>.
Result<void> look_below(int fd, Interface& found) {
  found.device = found.name;
  found.device_index = found.index;
  vlan_ioctl_args arguments{};
  arguments.cmd = GET_VLAN_VID_CMD;
  if (found.name.size() >= sizeof arguments.device1) return {};
  std::memcpy(arguments.device1, found.name.c_str(), found.name.size() + 1);
  if (::ioctl(fd, SIOCGIFVLAN, &arguments) != 0) return {};  // none
  const auto id = static_cast<uint16_t>(arguments.u.VID);
  arguments.cmd = GET_VLAN_REALDEV_NAME_CMD;
  if (::ioctl(fd, SIOCGIFVLAN, &arguments) != 0) return {};
  found.vlan = id;
  found.device = arguments.u.device2;
  found.device_index = static_cast<int>(::if_nametoindex(arguments.u.device2));
  arguments.cmd = GET_VLAN_VID_CMD;
  std::memcpy(arguments.device1, found.device.c_str(), found.device.size() + 1);
  if (::ioctl(fd, SIOCGIFVLAN, &arguments) == 0) {
    return fail(Code::unsupported, found.name +
                                       " is a VLAN in a VLAN, of which frames have two "
                                       "tags: use --port kernel for it");
  }
  return {};
}

// What the driver below says.
void ask_device(int fd, Interface& found) {
  ifreq request{};
  std::memcpy(request.ifr_name, found.device.c_str(), found.device.size() + 1);
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (::ioctl(fd, SIOCETHTOOL, &request) == 0) {
    found.receive_queues = std::max(1U, channels.rx_count + channels.combined_count);
  }
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  request.ifr_data = reinterpret_cast<char*>(&driver);
  if (::ioctl(fd, SIOCETHTOOL, &request) == 0) found.driver = driver.driver;
}

}  // namespace

Result<tcp::Address> parse_address(const std::string& text) {
  tcp::Address address{};
  if (::inet_pton(AF_INET, text.c_str(), &address[12]) == 1) {
    address[10] = address[11] = 0xff;
  } else if (::inet_pton(AF_INET6, text.c_str(), address.data()) != 1) {
    return fail(Code::invalid, "'" + text + "' is no address");
  }
  return address;
}

bool Interface::has(const tcp::Address& address) const noexcept {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

Result<Interface> Interface::find(const std::string& name) {
  Interface found;
  found.name = name;
  found.index = static_cast<int>(::if_nametoindex(name.c_str()));
  if (found.index == 0 || name.size() >= IFNAMSIZ) {
    return fail(Code::not_found, "there is no interface '" + name + "'; there are: " + all_names());
  }
  const Descriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return fail(Code::io, "cannot make a socket", errno);
  ifreq request{};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
    return fail(Code::io, "the address of " + name + " cannot be read", errno);
  }
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    return fail(Code::invalid, name + " is no Ethernet interface: use --port kernel for it");
  }
  std::memcpy(found.mac.octets.data(), request.ifr_hwaddr.sa_data, 6);
  if (::ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0 || (request.ifr_flags & IFF_UP) == 0) {
    return fail(Code::invalid, name + " is down: ip link set " + name + " up");
  }
  if (::ioctl(fd.get(), SIOCGIFMTU, &request) != 0) {
    return fail(Code::io, "the MTU of " + name + " cannot be read", errno);
  }
  found.mtu = static_cast<uint32_t>(request.ifr_mtu);
  PASTE_TRY(look_below(fd.get(), found));
  ask_device(fd.get(), found);

  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return fail(Code::io, "the local addresses cannot be read", errno);
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || name != one->ifa_name) continue;
    const int family = one->ifa_addr->sa_family;
    if (family == AF_INET || family == AF_INET6) {
      found.addresses.push_back(address_of(*one->ifa_addr));
    }
  }
  return found;
}

}  // namespace paste::port
