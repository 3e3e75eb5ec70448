#include "settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace paste::tool {
namespace {

const Option* find_option(const Command& command, std::string_view name) {
  for (const Option& option : command.options) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

// Numbers may be written bare; everything else is text, exactly as on the command line.
Result<std::string> value_text(const toml::node& node, const std::string& place) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* yes = node.as_boolean()) return std::string(yes->get() ? "true" : "false");
  return fail(Code::invalid,
              fmt::format("{}: write a string, a whole number, true or false", place));
}

Result<std::string> read_whole(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    const int error = errno;
    const Code code = error == ENOENT ? Code::not_found : Code::permission;
    return fail(code, fmt::format("cannot read the configuration file {}", path), error);
  }
  return text.str();
}

Result<void> take_key(const Command& command, const std::string& path, const toml::key& key,
                      const toml::node& node, std::vector<Setting>& settings) {
  const std::string place = fmt::format("{}:{}: {}", path, key.source().begin.line, key.str());
  const Option* option = find_option(command, key.str());
  if (option == nullptr) {
    return fail(Code::invalid, fmt::format("{}: there is no such option; pst {} --help lists them",
                                           place, command.name));
  }
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    PASTE_TRY_ASSIGN(std::string value, value_text(node, place));
    settings.push_back({place, option->name, std::move(value)});
    return {};
  }
  if (!option->repeats) {
    return fail(Code::invalid, fmt::format("{}: write one value, not a list", place));
  }
  for (const toml::node& element : *list) {
    PASTE_TRY_ASSIGN(std::string value, value_text(element, place));
    settings.push_back({place, option->name, std::move(value)});
  }
  return {};
}

}  // namespace

std::string environment_name(std::string_view option) {
  std::string name = "PST_";
  for (const char c : option) {
    name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return name;
}

std::vector<Setting> settings_from_environment(const Command& command) {
  std::vector<Setting> settings;
  for (const Option& option : command.options) {
    const std::string name = environment_name(option.name);
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) continue;
    if (!option.repeats) {
      settings.push_back({name, option.name, value});
      continue;
    }
    std::istringstream words(value);
    for (std::string word; words >> word;) settings.push_back({name, option.name, word});
  }
  return settings;
}

Result<std::vector<Setting>> settings_from_file(const Command& command, const std::string& path) {
  PASTE_TRY_ASSIGN(const std::string text, read_whole(path));
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(Code::invalid,
                fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  std::vector<Setting> settings;
  for (const auto& [key, node] : parsed.table()) {
    const toml::table* table = node.as_table();
    if (table == nullptr || key.str() != command.name) {
      return fail(Code::invalid,
                  fmt::format("{}:{}: {}: options belong into the table [{}]; nothing else is "
                              "allowed in the file",
                              path, key.source().begin.line, key.str(), command.name));
    }
    for (const auto& [inner, value] : *table) {
      PASTE_TRY(take_key(command, path, inner, value, settings));
    }
  }
  return settings;
}

}  // namespace paste::tool
