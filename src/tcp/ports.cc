#include "tcp/ports.h"

#include "base/check.h"

namespace paste::tcp {

Ports::Ports(PortRange range, SipKey offset_key, SipKey group_key) noexcept
    : range_(range), offset_key_(offset_key), group_key_(group_key) {
  PASTE_CHECK(range.first <= range.last);
  // The counters start at secret values, too: a restart continues nowhere near the last run.
  for (size_t i = 0; i < kGroups; ++i) {
    const uint64_t word = i;
    counters_[i] = static_cast<uint32_t>(siphash24(group_key_, std::span(&word, 1)));
  }
}

// RFC 6056 §3.3.4: F gives the offset, G the counter.
Ports::Start Ports::start(const FourTuple& tuple) noexcept {
  const auto offset = static_cast<uint32_t>(keyed(offset_key_, tuple, 0));
  return {offset, &counters_[keyed(group_key_, tuple, 0) % kGroups]};
}

}  // namespace paste::tcp
