// What a command of pst is: its options, its words for people, and what it does. Commands are plain
// data, so the command line, the environment, the configuration file and --help all agree.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "paste/result.h"

namespace paste::tool {

// Exit statuses of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;   // could not do it
inline constexpr int kExitUsage = 2;    // asked wrongly
inline constexpr int kExitDamaged = 2;  // pst pool check and dump: the pool is damaged

// Takes one value, as text, from wherever it was given. Errors: invalid, with what is allowed.
using Setter = std::function<Result<void>(std::string_view)>;

struct Option {
  std::string name;   // "size" is --size, PST_SIZE, and size = … in a file
  std::string value;  // how help calls the value, "SIZE"; empty: a switch
  std::string help;
  std::string initial;  // what holds when it is not given, for help; may be empty
  Setter set;
  bool repeats = false;  // may be given several times: set() is called for each
};

struct Positional {
  std::string name;  // "PATH"
  std::string help;
  Setter set;
  bool required = true;
  bool repeats = false;
};

struct Command {
  std::string name;     // "check"
  std::string summary;  // one line
  std::string teach;    // examples and exit statuses, printed after the options
  std::vector<Option> options;
  std::vector<Positional> positionals;
  // Options also come from --config FILE, table [name], and from the environment.
  bool settings = false;
  std::function<int()> run;  // empty: it only groups subcommands
  std::vector<Command> subcommands;
};

// Parses, fills and runs. Returns the exit status.
int run_command_line(const Command& root, int argc, char** argv);

// --- Setters ------------------------------------------------------------------------------------
Setter set_text(std::string& target);
Setter set_switch(bool& target);
Setter set_size(uint64_t& target);
Setter set_duration(std::chrono::nanoseconds& target);
// Whole numbers in [low, high].
Setter set_number(uint64_t& target, uint64_t low, uint64_t high);

// "'x' is not allowed: write one of a, b".
Unexpected refuse_choice(std::string_view text, std::string_view allowed);
// One of a few words.
template <typename T>
Setter set_choice(T& target, std::initializer_list<std::pair<std::string_view, T>> choices) {
  using Choices = std::vector<std::pair<std::string_view, T>>;
  return [&target, choices = Choices(choices)](std::string_view text) -> Result<void> {
    std::string allowed;
    for (const auto& [word, value] : choices) {
      if (word == text) {
        target = value;
        return {};
      }
      if (!allowed.empty()) allowed.append(", ");
      allowed.append(word);
    }
    return refuse_choice(text, allowed);
  };
}

}  // namespace paste::tool
