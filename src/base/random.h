// Secret random numbers of the system: for identities and for keys that no peer may guess.
#pragma once

#include <cstdint>
#include <span>

namespace paste::base {

// Thread-safe. Blocks only while the system has just started (getrandom(2)).
void fill_random(std::span<uint64_t> words) noexcept;

}  // namespace paste::base
