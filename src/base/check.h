// Assertions for programmer errors. They stay on in release: a store that has lost its invariants
// must stop before it writes.
#pragma once

namespace paste::base {
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;
}

#define PASTE_CHECK(condition)                                                         \
  do {                                                                                 \
    if (!(condition)) [[unlikely]]                                                     \
      ::paste::base::check_failed(#condition, __FILE__, __LINE__);                     \
  } while (false)
