#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace paste::base {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "paste: invariant broken: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace paste::base
