// Where a command's options come from when the command line does not give them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "command.h"

namespace paste::tool {

// One value and the place to name when it is wrong: "--size", "PST_SIZE", "pst.toml:4: size".
struct Setting {
  std::string place;
  std::string option;  // Option::name
  std::string value;
};

// "media-delay" → "PST_MEDIA_DELAY".
std::string environment_name(std::string_view option);

// Of the options that are set in the environment. Values of repeating ones are split at blanks.
std::vector<Setting> settings_from_environment(const Command& command);

// Of table [command.name] of a TOML file. Errors: not_found, permission, invalid (not TOML, a key
// that is no option, a value of a wrong type), each naming file and line.
Result<std::vector<Setting>> settings_from_file(const Command& command, const std::string& path);

}  // namespace paste::tool
