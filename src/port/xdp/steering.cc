#include "port/xdp/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <steer.skel.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace paste::port {
namespace {

// libbpf writes to standard error by itself; what went wrong is told by our errors.
void keep_libbpf_quiet() {
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
}

}  // namespace

Result<std::unique_ptr<Steering>> Steering::attach(const Interface& interface) {
  keep_libbpf_quiet();
  std::unique_ptr<Steering> made(new Steering);
  // Asked for now: a confined program reads no files.
  const int processors = libbpf_num_possible_cpus();
  if (processors <= 0) return fail(Code::io, "the processors cannot be counted", -processors);
  made->processors_ = static_cast<size_t>(processors);
  made->program_ = steer__open();
  if (made->program_ == nullptr) return fail(Code::io, "the XDP program cannot be read", errno);
  made->set_mac(interface.mac);
  made->program_->bss->vlan = interface.vlan;
  if (const int error = steer__load(made->program_); error != 0) {
    if (error == -EPERM) {
      return fail(Code::permission,
                  "loading an XDP program needs CAP_BPF and CAP_NET_ADMIN: run "
                  "as root, privileges are dropped after the start",
                  EPERM);
    }
    return fail(Code::unsupported, "the kernel does not take the XDP program", -error);
  }
  PASTE_TRY(made->fill_addresses(interface));
  const int program = bpf_program__fd(made->program_->progs.steer);
  for (const uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
    made->link_ = bpf_link_create(program, interface.device_index, BPF_XDP, &options);
    made->native_ = mode == XDP_FLAGS_DRV_MODE;
    if (made->link_ >= 0) return made;
    if (made->link_ == -EBUSY || made->link_ == -EEXIST) {
      return fail(Code::in_use,
                  "another XDP program is attached to " + interface.device +
                      ": see 'bpftool net'; remove it with 'ip link set " + interface.device +
                      " xdp off'",
                  -made->link_);
    }
  }
  const int error = -made->link_;
  made->link_ = -1;
  if (error == EINVAL || error == ERANGE) {
    return fail(Code::too_large,
                "the driver of " + interface.device +
                    " refuses XDP: usually the MTU is too large "
                    "for it, or receive offloads are on (ethtool -K " +
                    interface.device + " lro off)",
                error);
  }
  return fail(Code::io, "the XDP program cannot be attached to " + interface.device, error);
}

std::unique_ptr<Steering> Steering::none() {
  std::unique_ptr<Steering> made(new Steering);
  made->native_ = true;
  return made;
}

Steering::~Steering() {
  if (link_ >= 0) ::close(link_);
  if (program_ != nullptr) steer__destroy(program_);
}

Result<void> Steering::fill_addresses(const Interface& interface) {
  for (const tcp::Address& address : interface.addresses) {
    if (!add_address(address)) {
      return fail(Code::too_large, interface.name + " has too many addresses", errno);
    }
  }
  return {};
}

bool Steering::add_address(const tcp::Address& address) noexcept {
  if (program_ == nullptr) return true;
  const uint8_t yes = 1;
  return bpf_map_update_elem(bpf_map__fd(program_->maps.addresses), address.data(), &yes,
                             BPF_ANY) == 0;
}

void Steering::remove_address(const tcp::Address& address) noexcept {
  if (program_ == nullptr) return;
  (void)bpf_map_delete_elem(bpf_map__fd(program_->maps.addresses), address.data());
}

void Steering::set_mac(const wire::MacAddress& mac) noexcept {
  if (program_ == nullptr) return;
  std::memcpy(program_->bss->mac, mac.octets.data(), 6);
}

void Steering::claim_port(uint16_t port) noexcept {
  if (program_ == nullptr) return;
  __atomic_fetch_or(&program_->bss->ports[port / 64], uint64_t{1} << port % 64, __ATOMIC_RELAXED);
}

void Steering::claim_udp_port(uint16_t port) noexcept {
  if (program_ == nullptr) return;
  __atomic_fetch_or(&program_->bss->udp_ports[port / 64], uint64_t{1} << port % 64,
                    __ATOMIC_RELAXED);
}

void Steering::give_up_port(uint16_t port) noexcept {
  if (program_ == nullptr) return;
  __atomic_fetch_and(&program_->bss->ports[port / 64], ~(uint64_t{1} << port % 64),
                     __ATOMIC_RELAXED);
}

Result<void> Steering::add_socket(uint32_t queue, int socket) {
  const int map = bpf_map__fd(program_->maps.sockets);
  if (bpf_map_update_elem(map, &queue, &socket, BPF_ANY) != 0) {
    return fail(Code::io, "queue " + std::to_string(queue) + " cannot be steered to", errno);
  }
  return {};
}

Steering::Counts Steering::counts() const {
  std::vector<uint64_t> each(processors_);
  Counts counts;
  if (program_ == nullptr) return counts;
  uint64_t* const sums[] = {&counts.redirected, &counts.fragments, &counts.no_socket};
  for (uint32_t key = 0; key < std::size(sums); ++key) {
    if (bpf_map_lookup_elem(bpf_map__fd(program_->maps.counts), &key, each.data()) != 0) continue;
    for (const uint64_t one : each) *sums[key] += one;
    if (key == 0) counts.redirected_on = each;
  }
  return counts;
}

}  // namespace paste::port
