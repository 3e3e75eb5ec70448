// Link-layer addresses of those we talk to, learned from what they send: a reply goes back the way
// the segment came. When the kernel learns that a neighbour, a router perhaps, has another address,
// so do we.
#pragma once

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "tcp/tuple.h"
#include "wire/address.h"

namespace paste::port {

class Neighbours {
 public:
  void learn(const tcp::Address& remote, const wire::MacAddress& mac) {
    if (remote == last_.remote && mac == last_.mac) return;
    last_ = {remote, mac};
    // What is forgotten is learned again from the next segment.
    if (known_.size() >= kMax) known_.clear();
    known_[remote] = mac;
  }
  // The kernel's word about a neighbour.
  void moved(const tcp::Address& neighbour, const wire::MacAddress& mac) {
    if (kernel_.size() >= kMax) kernel_.clear();
    const auto [at, fresh] = kernel_.try_emplace(neighbour, mac);
    if (fresh || at->second == mac) return;
    const wire::MacAddress old = std::exchange(at->second, mac);
    for (auto& [remote, known] : known_) {
      if (known == old) known = mac;
    }
    if (last_.mac == old) last_.mac = mac;
  }
  // nullptr if nothing was learned; valid until the next call.
  [[nodiscard]] const wire::MacAddress* find(const tcp::Address& remote) const noexcept {
    if (remote == last_.remote) return &last_.mac;
    const auto found = known_.find(remote);
    return found == known_.end() ? nullptr : &found->second;
  }

 private:
  static constexpr size_t kMax = 65536;
  struct Entry {
    tcp::Address remote;
    wire::MacAddress mac;
  };
  Entry last_{};
  absl::flat_hash_map<tcp::Address, wire::MacAddress> known_;
  absl::flat_hash_map<tcp::Address, wire::MacAddress> kernel_;
};

}  // namespace paste::port
