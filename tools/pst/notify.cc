#include "notify.h"

#include <cstdlib>

#include "base/logging.h"
#ifdef PASTE_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace paste::tool {

void notify_manager(const std::string& state) {
  if (std::getenv("NOTIFY_SOCKET") == nullptr) return;
#ifdef PASTE_HAVE_SYSTEMD
  if (const int sent = sd_notify(0, state.c_str()); sent < 0) {
    base::log_warning("the service manager could not be told {}: error {}", state, -sent);
  }
#else
  base::log_warning("built without libsystemd: the service manager is not told {}", state);
#endif
}

}  // namespace paste::tool
