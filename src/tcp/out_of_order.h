// What a connection needs while something is missing in what it received.
#pragma once

#include <utility>

#include "tcp/reassembly.h"
#include "tcp/sack_list.h"

namespace paste::tcp {

// An object of a Slab. Not thread-safe.
struct OutOfOrder {
  using Storage = Reassembly::Storage;
  OutOfOrder(Storage&& storage, const ReassemblyLimits& limits) noexcept
      : queue(limits, std::move(storage)) {}
  [[nodiscard]] Storage take_storage() noexcept { return queue.take_storage(); }
  // Nobody else may take it away: what is queued cannot be had again without a retransmission.
  [[nodiscard]] static bool idle() noexcept { return false; }
  void retire() noexcept {}
  [[nodiscard]] bool unused() const noexcept {
    return queue.empty() && !queue.fin_known() && sacks.empty();
  }

  Reassembly queue;
  SackList sacks;
};

}  // namespace paste::tcp
