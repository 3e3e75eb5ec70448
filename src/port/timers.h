// Deadlines, soonest first. Few: housekeeping, not one per request.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "paste/event.h"

namespace paste::port {

class Timers {
 public:
  TimerId add(uint64_t deadline_ns, uint64_t cookie);
  // Nothing happens if it has fired already.
  void cancel(TimerId timer);
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  // The soonest deadline; UINT64_MAX if there is none.
  [[nodiscard]] uint64_t next_ns() const noexcept {
    return heap_.empty() ? UINT64_MAX : heap_.front().deadline_ns;
  }
  // Takes the soonest that is due, and gives its cookie. Equal deadlines fire in order of adding.
  [[nodiscard]] std::optional<uint64_t> take_due(uint64_t now_ns);

 private:
  struct Timer {
    uint64_t deadline_ns;
    TimerId id;
    uint64_t cookie;
  };
  static bool later(const Timer& a, const Timer& b) noexcept;

  std::vector<Timer> heap_;
  TimerId last_ = 0;
};

}  // namespace paste::port
