// The last events of a run, kept for the report of a failure.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

#include "tcp/instant.h"

namespace paste::sim {

// `what` is static text; `who` and `value` mean what the event says they do.
struct Event {
  tcp::Instant at;
  const char* what = "";
  uint64_t who = 0;
  uint64_t value = 0;
};

class EventRing {
 public:
  static constexpr size_t kKept = 200;

  void push(const Event& event) noexcept { events_[pushed_++ % kKept] = event; }

  [[nodiscard]] size_t size() const noexcept { return pushed_ < kKept ? pushed_ : kKept; }
  [[nodiscard]] uint64_t pushed() const noexcept { return pushed_; }
  // The i-th of those kept, the oldest first. REQUIRES: i < size().
  [[nodiscard]] const Event& operator[](size_t i) const noexcept {
    return events_[(pushed_ - size() + i) % kKept];
  }

  // One line for each event, the oldest first.
  [[nodiscard]] std::string to_string() const {
    std::string text;
    for (size_t i = 0; i < size(); ++i) {
      const Event& e = (*this)[i];
      fmt::format_to(std::back_inserter(text), "{:>6}.{:09} {} {} {}\n", e.at.ns / 1'000'000'000,
                     e.at.ns % 1'000'000'000, e.what, e.who, e.value);
    }
    return text;
  }

 private:
  std::array<Event, kKept> events_;
  uint64_t pushed_ = 0;
};

}  // namespace paste::sim
