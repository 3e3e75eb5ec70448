// The texts that tell about the server. Each returns the ticket that its reply must wait for.
#pragma once

#include <string>

#include "server/context.h"

namespace paste::server {

void append_metrics(std::string& out, const Context& context);
[[nodiscard]] Ticket append_log_list(std::string& out, const Context& context);
[[nodiscard]] Ticket append_home(std::string& out, const Context& context, bool html);

}  // namespace paste::server
