#include "base/random.h"

#include <sys/random.h>

#include <cstddef>

namespace paste::base {

void fill_random(std::span<uint64_t> words) noexcept {
  auto* to = reinterpret_cast<std::byte*>(words.data());
  for (size_t left = words.size_bytes(); left > 0;) {
    const ssize_t n = ::getrandom(to, left, 0);
    if (n <= 0) continue;  // EINTR
    to += n;
    left -= static_cast<size_t>(n);
  }
}

}  // namespace paste::base
