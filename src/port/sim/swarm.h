// Swarm configuration: each seed turns some impairments off and draws the strength of the rest, so
// that rare combinations and extreme single faults both happen.
#pragma once

#include "port/sim/link_options.h"
#include "port/sim/prng.h"

namespace paste::sim {

// In [1, most], small values far more often than great ones. REQUIRES: most > 0.
[[nodiscard]] uint64_t skewed(Prng& prng, uint64_t most);

// A link as `prng` draws it: each limit and impairment is off with probability 1/2. Never so bad
// that a protocol that retries cannot get through: some frames always pass, and whatever is under
// way arrives within seconds. The MTU is 1500 at least.
[[nodiscard]] LinkOptions swarm_link(Prng prng);

}  // namespace paste::sim
