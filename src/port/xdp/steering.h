// The program in the kernel that gives our sockets what is addressed to us (bpf/steer.bpf.c).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "paste/result.h"
#include "port/xdp/interface.h"

struct steer;

namespace paste::port {

// Attached by a bpf_link: it goes with the last descriptor, so with the process, however that ends.
// Not thread-safe.
class Steering {
 public:
  // In the driver if it can, else in the kernel's generic hook, which is slower.
  // Errors: permission, in_use (another program is attached), unsupported, io.
  static Result<std::unique_ptr<Steering>> attach(const Interface& interface);
  // Of a model of a NIC, whose frames are all ours.
  static std::unique_ptr<Steering> none();
  ~Steering();
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  // From now on segments to `port` of the interface's addresses come to our sockets, or no longer.
  void claim_port(uint16_t port) noexcept;
  void give_up_port(uint16_t port) noexcept;
  void claim_udp_port(uint16_t port) noexcept;
  // What changes while the program runs. False if there are too many.
  bool add_address(const tcp::Address& address) noexcept;
  void remove_address(const tcp::Address& address) noexcept;
  void set_mac(const wire::MacAddress& mac) noexcept;
  // What arrives on `queue` and is ours goes to the socket. Error: io.
  Result<void> add_socket(uint32_t queue, int socket);
  [[nodiscard]] bool native() const noexcept { return native_; }

  struct Counts {
    uint64_t redirected = 0;
    std::vector<uint64_t> redirected_on;  // by processor: where the interface's NAPI ran
    uint64_t fragments = 0;               // dropped
    uint64_t no_socket = 0;               // went to the kernel: a queue without a socket
  };
  [[nodiscard]] Counts counts() const;

 private:
  Steering() = default;
  Result<void> fill_addresses(const Interface& interface);
  steer* program_ = nullptr;
  int link_ = -1;
  bool native_ = false;
  size_t processors_ = 1;
};

}  // namespace paste::port
