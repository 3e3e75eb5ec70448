#include "port/timers.h"

#include <algorithm>

namespace paste::port {

bool Timers::later(const Timer& a, const Timer& b) noexcept {
  return a.deadline_ns != b.deadline_ns ? a.deadline_ns > b.deadline_ns : a.id > b.id;
}

TimerId Timers::add(uint64_t deadline_ns, uint64_t cookie) {
  heap_.push_back({deadline_ns, ++last_, cookie});
  std::push_heap(heap_.begin(), heap_.end(), later);
  return last_;
}

void Timers::cancel(TimerId timer) {
  if (std::erase_if(heap_, [timer](const Timer& t) { return t.id == timer; }) != 0) {
    std::make_heap(heap_.begin(), heap_.end(), later);
  }
}

std::optional<uint64_t> Timers::take_due(uint64_t now_ns) {
  if (next_ns() > now_ns) return std::nullopt;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const uint64_t cookie = heap_.back().cookie;
  heap_.pop_back();
  return cookie;
}

}  // namespace paste::port
