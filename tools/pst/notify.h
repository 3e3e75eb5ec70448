// Telling the service manager (systemd, Type=notify) how far the start is.
#pragma once

#include <string>

namespace paste::tool {

// "READY=1", "STOPPING=1", "STATUS=…". Does nothing where nobody asked ($NOTIFY_SOCKET unset).
void notify_manager(const std::string& state);

}  // namespace paste::tool
