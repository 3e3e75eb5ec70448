#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "commands.h"

namespace paste::tool {
namespace {

constexpr std::string_view kTeach =
    "Start a store, write a record, read it back:\n"
    "  pst serve --pool orders.paste --create\n"
    "  curl -d 'first record' http://127.0.0.1:8080/log/orders\n"
    "  curl 'http://127.0.0.1:8080/log/orders?from=1'\n"
    "pst COMMAND --help explains each command.";

Command pool_command() {
  Command pool;
  pool.name = "pool";
  pool.summary = "Make, look at, check and read a pool that nobody serves";
  pool.subcommands = {pool_create_command(), pool_info_command(), pool_check_command(),
                      pool_dump_command()};
  return pool;
}

struct RootFlags {
  bool version = false;
  bool json = false;
};

Command root_command(RootFlags& flags) {
  Command root;
  root.name = "pst";
  root.summary = "PASTE, the packet store: the packet that arrived is the record that is kept.";
  root.teach = kTeach;
  root.options = {{"version", "", "print the version", "", set_switch(flags.version)},
                  {"json", "", "with --version: as JSON", "", set_switch(flags.json)}};
  root.subcommands = {serve_command(), bench_command(), pool_command(), doctor_command()};
  root.run = [&flags] {
    if (!flags.version) {
      fmt::print(stderr,
                 "pst: name a command: serve, bench, pool or doctor\npst --help explains them.\n");
      return kExitUsage;
    }
    if (flags.json) {
      fmt::print("{{\"name\":\"pst\",\"version\":\"{}\"}}\n", PASTE_VERSION);
    } else {
      fmt::print("pst {}\n", PASTE_VERSION);
    }
    return kExitOk;
  };
  return root;
}

}  // namespace
}  // namespace paste::tool

int main(int argc, char** argv) {
  // Libraries below may throw on control paths (no memory); a person then gets a sentence.
  try {
    paste::tool::RootFlags flags;
    return paste::tool::run_command_line(paste::tool::root_command(flags), argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "pst: {}\n", error.what());
    return paste::tool::kExitFailed;
  }
}
