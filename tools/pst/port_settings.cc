#include "port_settings.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "base/logging.h"

namespace paste::tool {

Setter set_port(std::string& target) {
  return [&target](std::string_view text) -> Result<void> {
    if (text != "kernel" && (text.substr(0, 4) != "xdp:" || text.size() == 4)) {
      return fail(Code::invalid, fmt::format("'{}' is no port: allowed are kernel and "
                                             "xdp:INTERFACE, as xdp:eth0",
                                             text));
    }
    target = text;
    return {};
  };
}

Setter set_polling(Polling& target) {
  return set_choice<Polling>(
      target,
      {{"busy", Polling::busy}, {"block", Polling::block}, {"adaptive", Polling::adaptive}});
}

Setter set_cpu(std::optional<uint64_t>& target) {
  return [&target](std::string_view text) -> Result<void> {
    uint64_t cpu = 0;
    PASTE_TRY(set_number(cpu, 0, 1023)(text));
    target = cpu;
    return {};
  };
}

Result<void> pin(uint64_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) return {};
  return fail(Code::invalid, fmt::format("--cpu: cannot run on processor {}", cpu), errno);
}

void raise_descriptor_limit(uint64_t connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = connections + 64;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < connections) {
    base::log_warning(
        "at most {} descriptors are allowed (ulimit -n), so fewer than {} "
        "connections fit",
        limit.rlim_cur, connections);
  }
}

}  // namespace paste::tool
