// What commands that open a port share: its options, and the limits of the process around it.
#pragma once

#include <optional>
#include <string>

#include "command.h"
#include "paste/event.h"

namespace paste::tool {

// "kernel", "xdp:IFACE…".
Setter set_port(std::string& target);
Setter set_polling(Polling& target);
Setter set_cpu(std::optional<uint64_t>& target);

// Runs this thread on one processor. Errors: invalid.
Result<void> pin(uint64_t cpu);
// Connections are descriptors; the usual soft limit of 1024 is far below what is asked for. Says
// so in the log where the hard limit is, too.
void raise_descriptor_limit(uint64_t connections);

}  // namespace paste::tool
