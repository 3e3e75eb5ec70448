// The one file that knows CLI11: turns a Command tree into parsers, runs the one that was named,
// and fills its options in the order of precedence: command line, environment, file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>

#include "command.h"
#include "settings.h"

namespace paste::tool {
namespace {

// The values one command was given on its command line.
struct Given {
  const Command* command = nullptr;
  CLI::App* app = nullptr;
  std::string path;  // "pst pool check"
  std::map<std::string, std::vector<std::string>> options;
  std::deque<std::vector<std::string>> positionals;
  std::string config;
};

std::string help_of(const Option& option, bool settings) {
  std::string text = option.help;
  if (!option.initial.empty()) text += fmt::format(" [{}]", option.initial);
  if (settings) text += fmt::format(" ({})", environment_name(option.name));
  return text;
}

void add_options(CLI::App& app, Given& given) {
  for (const Option& option : given.command->options) {
    std::vector<std::string>& values = given.options[option.name];
    const std::string help = help_of(option, given.command->settings);
    if (option.value.empty()) {
      app.add_flag("--" + option.name, values, help);
    } else {
      CLI::Option* added = app.add_option("--" + option.name, values, help);
      added->type_name(option.value);
      // One value per occurrence: `--listen a b` must not swallow b.
      if (!option.repeats) added->expected(1)->take_all();
      added->allow_extra_args(false);
    }
  }
  if (given.command->settings) {
    app.add_option("--config", given.config,
                   fmt::format("TOML file with options in the table [{}] (PST_CONFIG)",
                               given.command->name))
        ->type_name("FILE");
  }
  for (const Positional& positional : given.command->positionals) {
    std::vector<std::string>& values = given.positionals.emplace_back();
    CLI::Option* added = app.add_option(positional.name, values, positional.help)->type_name("");
    if (positional.required) added->required();
    added->expected(positional.required ? 1 : 0, positional.repeats ? 1000 : 1);
  }
}

void add_command(CLI::App& app, const Command& command, const std::string& path,
                 std::deque<Given>& all) {
  Given& given = all.emplace_back();
  given.command = &command;
  given.app = &app;
  given.path = path;
  app.footer(command.teach);
  app.get_formatter()->column_width(34);
  add_options(app, given);
  for (const Command& inner : command.subcommands) {
    CLI::App* sub = app.add_subcommand(inner.name, inner.summary);
    add_command(*sub, inner, path + " " + inner.name, all);
  }
}

// Error messages end in a line that leads on.
int usage(const Given& given, std::string_view message) {
  fmt::print(stderr, "{}: {}\n{} --help explains the options.\n", given.path, message, given.path);
  return kExitUsage;
}

std::string missing_subcommand(const Command& command) {
  std::string names;
  for (const Command& inner : command.subcommands) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", inner.name);
  }
  return fmt::format("name what to do: {}", names);
}

Result<std::vector<Setting>> gather(const Given& given) {
  std::vector<Setting> all;
  const Command& command = *given.command;
  std::map<std::string, int> taken;  // option → strongest source that gave it
  const auto add = [&](std::vector<Setting> settings, int source) {
    for (Setting& setting : settings) {
      const auto [place, fresh] = taken.emplace(setting.option, source);
      if (fresh || place->second == source) all.push_back(std::move(setting));
    }
  };
  std::vector<Setting> line;
  for (const Option& option : command.options) {
    for (const std::string& value : given.options.at(option.name)) {
      line.push_back({"--" + option.name, option.name, value});
    }
  }
  add(std::move(line), 0);
  if (!command.settings) return all;
  add(settings_from_environment(command), 1);
  std::string file = given.config;
  if (const char* from_environment = std::getenv("PST_CONFIG");
      file.empty() && from_environment != nullptr) {
    file = from_environment;
  }
  if (!file.empty()) {
    PASTE_TRY_ASSIGN(std::vector<Setting> settings, settings_from_file(command, file));
    add(std::move(settings), 2);
  }
  return all;
}

Result<void> apply(const Given& given) {
  PASTE_TRY_ASSIGN(const std::vector<Setting> settings, gather(given));
  std::map<std::string, std::string> once;
  for (const Setting& setting : settings) {
    for (const Option& option : given.command->options) {
      if (option.name != setting.option) continue;
      if (!option.repeats && !once.emplace(option.name, setting.value).second) {
        return fail(Code::invalid, fmt::format("{}: given more than once", setting.place));
      }
      if (auto set = option.set(setting.value); !set) {
        return fail(Code::invalid, fmt::format("{}: {}", setting.place, set.error().message()));
      }
    }
  }
  size_t index = 0;
  for (const Positional& positional : given.command->positionals) {
    for (const std::string& value : given.positionals[index]) {
      if (auto set = positional.set(value); !set) {
        return fail(Code::invalid, fmt::format("{}: {}", positional.name, set.error().message()));
      }
    }
    ++index;
  }
  return {};
}

}  // namespace

int run_command_line(const Command& root, int argc, char** argv) {
  CLI::App app(root.summary, root.name);
  std::deque<Given> all;  // a deque: parsers keep addresses inside
  add_command(app, root, root.name, all);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const Given* deepest = &all.front();
    for (const Given& given : all) {
      if (given.app->parsed()) deepest = &given;
    }
    return usage(*deepest, error.what());
  }
  const Given* chosen = &all.front();
  for (const Given& given : all) {
    if (given.app->parsed()) chosen = &given;
  }
  if (!chosen->command->run) return usage(*chosen, missing_subcommand(*chosen->command));
  if (auto applied = apply(*chosen); !applied) {
    const int status = usage(*chosen, applied.error().message());
    // A file of options that cannot be read is trouble of the system, not of the command line.
    return applied.error().code() == Code::invalid ? status : kExitFailed;
  }
  return chosen->command->run();
}

}  // namespace paste::tool
