// The commands of pst, one source file each.
#pragma once

#include "command.h"

namespace paste::tool {

Command serve_command();
Command bench_command();
Command pool_create_command();
Command pool_info_command();
Command pool_check_command();
Command pool_dump_command();
Command doctor_command();

}  // namespace paste::tool
