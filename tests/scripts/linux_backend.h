// The kernel's TCP in real time, through a tun device in a network namespace of this process.
#pragma once

#include <memory>

#include "backend.h"
#include "paste/result.h"
#include "script.h"

namespace paste::scripts {

// Enters a new network namespace; once per process. Needs root.
[[nodiscard]] Result<std::unique_ptr<Backend>> make_linux_backend(const Script& script);

}  // namespace paste::scripts
