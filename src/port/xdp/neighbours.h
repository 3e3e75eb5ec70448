// Link-layer addresses of those we talk to, learned from what they send.
#pragma once

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
};

}  // namespace paste::port
