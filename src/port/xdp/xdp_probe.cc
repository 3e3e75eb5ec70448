#include "port/xdp/xdp_probe.h"

#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "port/kernel/sockets.h"
#include "port/xdp/interface.h"
#include "port/xdp/napi.h"
#include "port/xdp/netlink.h"
#include "port/xdp/xdp_constants.h"

namespace paste::port {
namespace {

// NETDEV_XDP_ACT_BASIC | _REDIRECT, _XSK_ZEROCOPY, _NDO_XMIT_SG (uapi/linux/netdev.h).
constexpr uint64_t kNative = 1 | 2;
constexpr uint64_t kZeroCopy = 8;

template <typename Number>
Number read_number(const std::string& path, Number otherwise) {
  std::ifstream file(path);
  Number number{};
  return file >> number ? number : otherwise;
}

uint64_t number_of(const nlattr* attribute) {
  return mnl_attr_get_payload_len(attribute) == 8 ? mnl_attr_get_u64(attribute)
                                                  : mnl_attr_get_u32(attribute);
}

void ask_driver(int ifindex, XdpReport& report) {
  const uint16_t family = netdev_family();
  if (family == 0) return;
  std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  put_generic(request, family, kNetdevDevGet);
  mnl_attr_put_u32(request, kNetdevDevIfindex, static_cast<uint32_t>(ifindex));
  (void)ask_netlink(NETLINK_GENERIC, request, [&](const nlmsghdr* answer) {
    each_attribute(answer, sizeof(genlmsghdr), [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (type == kNetdevDevXdpFeatures) report.features = number_of(attribute);
      if (type == kNetdevDevReceiveHints) report.receive_hints = number_of(attribute);
      if (type == kNetdevDevXskFeatures) report.transmit_offloads = number_of(attribute);
      if (type == kNetdevDevXdpZcMaxSegs) {
        report.zero_copy_pieces = static_cast<uint32_t>(number_of(attribute));
      }
    });
  });
}

// Whether an offload is on, by its name in ethtool(8)'s list.
bool offload_is_on(int fd, const std::string& name, const char* offload) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  alignas(ethtool_sset_info) std::array<char, sizeof(ethtool_sset_info) + 4> sizes{};
  auto* info = reinterpret_cast<ethtool_sset_info*>(sizes.data());
  info->cmd = ETHTOOL_GSSET_INFO;
  info->sset_mask = 1ULL << ETH_SS_FEATURES;
  request.ifr_data = sizes.data();
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0) return false;
  uint32_t count = 0;
  std::memcpy(&count, sizes.data() + sizeof(ethtool_sset_info), sizeof count);
  std::vector<char> names(sizeof(ethtool_gstrings) + size_t{count} * ETH_GSTRING_LEN);
  auto* strings = reinterpret_cast<ethtool_gstrings*>(names.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = count;
  request.ifr_data = names.data();
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0) return false;
  const uint32_t blocks = (count + 31) / 32;
  std::vector<char> states(sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block));
  auto* features = reinterpret_cast<ethtool_gfeatures*>(states.data());
  features->cmd = ETHTOOL_GFEATURES;
  features->size = blocks;
  request.ifr_data = states.data();
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0) return false;
  const char* all = names.data() + sizeof(ethtool_gstrings);
  for (uint32_t i = 0; i < count; ++i) {
    if (std::strncmp(all + size_t{i} * ETH_GSTRING_LEN, offload, ETH_GSTRING_LEN) != 0) continue;
    return (features->features[i / 32].active >> i % 32 & 1) != 0;
  }
  return false;
}

}  // namespace

bool XdpReport::native() const noexcept { return features && (*features & kNative) == kNative; }
bool XdpReport::zero_copy() const noexcept { return native() && (*features & kZeroCopy) != 0; }
bool XdpReport::scatter() const noexcept { return zero_copy() && zero_copy_pieces > 1; }

Result<XdpReport> probe_interface(const std::string& name) {
  auto index = static_cast<int>(::if_nametoindex(name.c_str()));
  if (index == 0) return fail(Code::not_found, "there is no interface '" + name + "'");
  XdpReport report;
  report.name = name;
  const std::string folder = "/sys/class/net/" + name;
  report.ethernet = read_number(folder + "/type", 0) == ARPHRD_ETHER;
  report.up = (std::stoul(read_number<std::string>(folder + "/flags", "0"), nullptr, 16) & 1) != 0;
  report.mtu = read_number(folder + "/mtu", 0U);
  report.device = name;
  if (const auto found = Interface::find(name)) {
    report.driver = found->driver;
    report.receive_queues = found->receive_queues;
    report.addresses = static_cast<uint32_t>(found->addresses.size());
    report.vlan = found->vlan;
    report.device = found->device;
    index = found->device_index;
  }
  const std::string below = "/sys/class/net/" + report.device;
  report.numa_node = read_number(below + "/device/numa_node", -1);
  report.defer_hard_irqs = read_number(below + "/napi_defer_hard_irqs", 0U);
  report.gro_flush_timeout_ns = read_number(below + "/gro_flush_timeout", uint64_t{0});
  const Descriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  report.large_receive = offload_is_on(fd.get(), report.device, "rx-lro");
  report.hardware_groups = offload_is_on(fd.get(), report.device, "rx-gro-hw");
  report.takes_tags = offload_is_on(fd.get(), report.device, "rx-vlan-hw-parse");
  ask_driver(index, report);
  uint32_t program = 0;
  if (bpf_xdp_query_id(index, 0, &program) == 0) report.attached_program = program;
  if (const auto napis = find_napis(index)) report.napis = static_cast<uint32_t>(napis->size());
  return report;
}

std::vector<std::string> interface_names() {
  std::vector<std::string> names;
  struct if_nameindex* list = ::if_nameindex();
  for (auto* one = list; one != nullptr && one->if_index != 0; ++one) {
    if (std::string_view(one->if_name) != "lo") names.emplace_back(one->if_name);
  }
  ::if_freenameindex(list);
  return names;
}

}  // namespace paste::port
