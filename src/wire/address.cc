#include "wire/address.h"

#include <fmt/format.h>

namespace paste::wire {
namespace {

struct Run {
  size_t begin = 0;
  size_t length = 0;
};

// RFC 5952 §4.2: the longest run of zero groups, the first of equals; one group alone stays.
Run longest_zero_run(const IpAddress& address) {
  Run best, now;
  for (size_t i = 0; i < 8; ++i) {
    if (load16(address.bytes(), 2 * i) != 0) {
      now = {i + 1, 0};
    } else if (++now.length > best.length) {
      best = now;
    }
  }
  return best.length > 1 ? best : Run{};
}

}  // namespace

std::string to_string(const MacAddress& address) {
  return fmt::format("{:02x}", fmt::join(address.octets, ":"));
}

std::string to_string(const IpAddress& address) {
  if (address.is_v4()) {
    const auto& o = address.octets;
    return fmt::format("{}.{}.{}.{}", o[12], o[13], o[14], o[15]);
  }
  const Run zeros = longest_zero_run(address);
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    if (zeros.length > 0 && i == zeros.begin) {
      text += "::";
      i += zeros.length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    text += fmt::format("{:x}", load16(address.bytes(), 2 * i));
  }
  return text;
}

}  // namespace paste::wire
