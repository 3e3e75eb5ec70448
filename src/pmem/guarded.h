// Reading memory that may be poisoned. A load from a bad NVMM line, or from a mapped file that was
// cut short, raises SIGBUS; guarded_read turns it into a value.
#pragma once

#include <type_traits>

#include "paste/result.h"

namespace paste::pmem {

namespace internal {
// Runs call(context) with the guard armed; false if it raised SIGBUS (the rest of it did not run).
bool run_guarded(void (*call)(void*), void* context) noexcept;
}  // namespace internal

// Installs the process-wide SIGBUS handler (idempotent). A SIGBUS outside a guard keeps its
// default action.
void install_bus_guard() noexcept;

// Calls read() and returns true, or false if it touched poisoned memory.
// REQUIRES: `read` owns nothing that a skipped destructor would leak, takes no lock, and does not
// nest. Thread-safe: the guard is per thread.
template <typename Read>
[[nodiscard]] bool guarded_read(Read&& read) noexcept {
  using Plain = std::remove_reference_t<Read>;
  return internal::run_guarded([](void* context) { (*static_cast<Plain*>(context))(); },
                               const_cast<void*>(static_cast<const void*>(&read)));
}

}  // namespace paste::pmem
