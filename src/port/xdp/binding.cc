#include "port/xdp/binding.h"

#include <net/if.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "base/logging.h"
#include "port/xdp/xdp_socket.h"

namespace paste::port {
namespace {

constexpr std::string_view kPrefix = "xdp:";
constexpr size_t kProbeBytes = 64 << 10;
constexpr useconds_t kGraceUs = 1'000'000;  // for a device that cannot be asked

// Nothing outlives a restart of the machine.
uint64_t boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  file >> text;
  uint64_t id = 0;
  for (const char c : text.substr(0, 19)) {
    if (c == '-') continue;
    id = id << 4 | static_cast<uint64_t>(c >= 'a' ? c - 'a' + 10 : c - '0');
  }
  return id;
}

// Interfaces have their numbers in a network namespace.
uint64_t network_namespace() {
  struct stat info {};
  return ::stat("/proc/self/ns/net", &info) == 0 ? info.st_ino : 0;
}

struct Unmap {
  void operator()(std::byte* at) const noexcept { ::munmap(at, kProbeBytes); }
};

// Binds the queue once with nothing posted: the kernel allows it when the last owner is gone.
Result<void> probe(const std::string& name, int index, uint32_t queue) {
  void* at =
      ::mmap(nullptr, kProbeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return fail(Code::io, "no memory to ask for " + name, errno);
  const std::unique_ptr<std::byte, Unmap> area(static_cast<std::byte*>(at));
  XdpSocketOptions o;
  o.interface = name;
  o.ifindex = index;
  o.queue = queue;
  o.area = area.get();
  o.area_bytes = kProbeBytes;
  o.receive_ring = o.fill_ring = o.transmit_ring = 64;
  o.copy = true;
  o.scatter = false;
  PASTE_TRY(XdpSocket::open(o));
  return {};
}

}  // namespace

Result<void> record_binding(pool::Core& core, const Interface& interface) {
  const std::string name = std::string(kPrefix) + interface.device;
  const pool::RootWords words{
      uint64_t{static_cast<uint32_t>(interface.device_index)} << 32 | interface.receive_queues,
      boot_id(), network_namespace()};
  pool::Root* root = core.find_root(name);
  if (root != nullptr && root->words == words) return {};
  if (root == nullptr) {
    PASTE_TRY(core.create_root(pool::format::RootType::binding, name, words));
  } else {
    PASTE_TRY(core.update_root(*root, words));
  }
  return core.wait_durable(core.filling());
}

Result<void> wait_for_old_bindings(const pool::Core& core) {
  for (const auto& root : core.roots()) {
    if (!root->live || root->type != pool::format::RootType::binding) continue;
    const auto index = static_cast<int>(root->words[0] >> 32);
    const auto queues = static_cast<uint32_t>(root->words[0]);
    if (root->words[1] != boot_id()) continue;
    const std::string name = root->name.substr(kPrefix.size());
    if (root->words[2] != network_namespace()) {
      base::log_warning("this pool was bound to {} in another network namespace: waiting a second",
                        name);
      ::usleep(kGraceUs);
      continue;
    }
    if (static_cast<int>(::if_nametoindex(name.c_str())) != index) continue;  // gone, so unbound
    for (uint32_t queue = 0; queue < queues; ++queue) {
      auto bound = probe(name, index, queue);
      if (bound || bound.error().code() == Code::unsupported) continue;
      return fail(bound.error().code(),
                  "this pool was bound to " + name +
                      ", which may still write into it: " + bound.error().message());
    }
  }
  return {};
}

}  // namespace paste::port
