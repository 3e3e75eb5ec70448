#include "doctor_interfaces.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "paste/units.h"

namespace paste::tool {
namespace {

// What fits a buffer of 2048 octets beside XDP's headroom, Ethernet and a tag.
constexpr uint32_t kMtuOfSmallBuffers = 2048 - 256 - 18;
constexpr uint64_t kTransmitChecksum = 2;  // NETDEV_XSK_FLAGS_TX_CHECKSUM
// A pool of the default size is pinned whole.
constexpr uint64_t kLockWanted = uint64_t{1} << 30;

std::string queues_text(uint32_t queues) {
  return fmt::format("{} queue{}", queues, queues == 1 ? "" : "s");
}

std::string polling_text(const port::XdpReport& r) {
  if (r.napis == 0)
    return "by the kernel's interrupts (a program drives it from Linux 6.13 on; veth: once it "
           "serves)";
  return fmt::format(
      "by the program with --poll busy: {} instances; now napi_defer_hard_irqs {}, "
      "gro_flush_timeout {} ns",
      r.napis, r.defer_hard_irqs, r.gro_flush_timeout_ns);
}

std::string sums_text(const port::XdpReport& r) {
  return (r.transmit_offloads & kTransmitChecksum) != 0
             ? "checksums by software; the NIC could write them for AF_XDP, which is not used yet"
             : "checksums by software; the driver offers none to AF_XDP";
}

}  // namespace

std::string xdp_mode(const port::XdpReport& r) {
  if (!r.features) return "unknown: this kernel cannot be asked (Linux 6.3 can)";
  if (!r.native()) return "generic: the driver has no XDP, each frame is copied";
  if (!r.zero_copy()) return "native, copy mode: the kernel copies each frame once into a buffer";
  return r.scatter()
             ? fmt::format("native, zero copy, packets of up to {} pieces", r.zero_copy_pieces)
             : "native, zero copy, packets of one piece";
}

std::vector<Advice> advise(const port::XdpReport& r, const Machine& machine) {
  std::vector<Advice> advice;
  const auto add = [&](std::string finding, std::string remedy) {
    advice.push_back({std::move(finding), std::move(remedy)});
  };
  if (!r.ethernet) {
    add("no Ethernet interface: no xdp port", "serve it with --port kernel");
    return advice;
  }
  if (!r.up) add("the interface is down", fmt::format("ip link set {} up", r.name));
  if (r.addresses == 0) {
    add("it has no address", fmt::format("ip address add ADDRESS/PREFIX dev {}", r.name));
  }
  if (r.features && !r.native()) {
    add("the driver has no XDP of its own: frames take the kernel's slower path",
        "serve with --port kernel, which is as fast here, or use a NIC whose driver has XDP");
  }
  if (r.large_receive) {
    add("LRO joins frames before XDP sees them", fmt::format("ethtool -K {} lro off", r.device));
  }
  if (r.hardware_groups) {
    add("GRO_HW joins frames in the NIC before XDP sees them",
        fmt::format("ethtool -K {} rx-gro-hw off", r.device));
  }
  if (r.driver == "veth") {
    add("a peer on this machine leaves TCP checksums out, which are then computed by nobody",
        "at the peer, in its namespace: ethtool -K PEER tx off");
  }
  if (r.vlan != 0 && r.takes_tags) {
    add("the tags of a VLAN's frames are taken off before XDP sees them",
        r.driver == "veth" ? "at the peer, in its namespace: ethtool -K PEER txvlan off"
                           : fmt::format("ethtool -K {} rxvlan off", r.device));
  }
  if (r.mtu > kMtuOfSmallBuffers) {
    add(fmt::format("frames of MTU {} do not fit buffers of 2048 bytes", r.mtu),
        fmt::format("ip link set {} mtu 1500, or make the pool with buffers of 4096", r.name));
  }
  if (r.receive_queues > 1) {
    add(fmt::format("frames come in {}, and one thread serves them all, in turn",
                    queues_text(r.receive_queues)),
        fmt::format("ethtool -L {} combined 1", r.device));
  }
  if (r.attached_program != 0) {
    add(fmt::format("an XDP program (id {}) is attached already", r.attached_program),
        fmt::format("bpftool prog show id {}; to take it away: ip link set {} xdp off",
                    r.attached_program, r.device));
  }
  if (!machine.memory.memlock_unlimited && machine.memory.memlock_limit < kLockWanted) {
    add(fmt::format("a user may lock {}, and an xdp port locks its pool whole",
                    format_size(machine.memory.memlock_limit)),
        "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit; root needs neither");
  }
  if (r.numa_node >= 0 && machine.memory.numa_nodes > 1) {
    add(fmt::format("the NIC hangs on NUMA node {} of {}", r.numa_node, machine.memory.numa_nodes),
        fmt::format("numactl --cpunodebind={0} --membind={0} pst serve …, with a pool on node {0}",
                    r.numa_node));
  }
  return advice;
}

void print_interface(const port::XdpReport& r, const std::vector<Advice>& advice) {
  fmt::print("interface  {}: {}, {}, MTU {}, {} addresses{}\n", r.name,
             r.driver.empty() ? "driver unknown" : r.driver, queues_text(r.receive_queues), r.mtu,
             r.addresses, r.up ? "" : ", down");
  if (r.vlan != 0) fmt::print("  vlan     {} of {}\n", r.vlan, r.device);
  if (r.ethernet) {
    fmt::print("  xdp      {}\n", xdp_mode(r));
    fmt::print("  driven   {}\n", polling_text(r));
    fmt::print("  sums     {}\n", sums_text(r));
    if (r.numa_node >= 0) fmt::print("  numa     node {}\n", r.numa_node);
  }
  for (const Advice& one : advice) {
    fmt::print("  note     {}\n", one.finding);
    fmt::print("  do       {}\n", one.remedy);
  }
}

nlohmann::json interface_json(const port::XdpReport& r, const std::vector<Advice>& advice) {
  nlohmann::json list = nlohmann::json::array();
  for (const Advice& one : advice) list.push_back({{"finding", one.finding}, {"do", one.remedy}});
  nlohmann::json features = nullptr;
  if (r.features) features = *r.features;
  return {{"interface", r.name},
          {"device", r.device},
          {"vlan", r.vlan},
          {"driver", r.driver},
          {"up", r.up},
          {"ethernet", r.ethernet},
          {"mtu", r.mtu},
          {"receive_queues", r.receive_queues},
          {"addresses", r.addresses},
          {"numa_node", r.numa_node},
          {"lro", r.large_receive},
          {"gro_hw", r.hardware_groups},
          {"xdp_features", std::move(features)},
          {"xdp_native", r.native()},
          {"xdp_zero_copy", r.zero_copy()},
          {"xdp_zero_copy_pieces", r.zero_copy_pieces},
          {"xdp_receive_hints", r.receive_hints},
          {"xdp_transmit_offloads", r.transmit_offloads},
          {"xdp_program", r.attached_program},
          {"napis", r.napis},
          {"napi_defer_hard_irqs", r.defer_hard_irqs},
          {"gro_flush_timeout_ns", r.gro_flush_timeout_ns},
          {"advice", std::move(list)}};
}

}  // namespace paste::tool
