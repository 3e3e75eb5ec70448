// tcpt: runs scripts against our engine, or one against the kernel's TCP (in a namespace of its
// own: linux_test.py makes it).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "engine_backend.h"
#include "linux_backend.h"
#include "runner.h"

namespace {

std::vector<std::string> scripts_below(const std::vector<std::string>& paths) {
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      found.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".tcpt") found.push_back(entry.path().string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs TCP script tests (.tcpt)"};
  std::vector<std::string> paths;
  bool linux_tcp = false, check = false;
  app.add_option("PATH", paths, "Scripts, or folders of them")->required();
  app.add_flag("--linux", linux_tcp, "Against this kernel's TCP, through a tun device; needs root");
  app.add_flag("--check", check, "Only read the scripts");
  CLI11_PARSE(app, argc, argv);
  uint32_t failed = 0, run = 0;
  for (const std::string& path : scripts_below(paths)) {
    ++run;
    const auto script = paste::scripts::load_script(path);
    std::string problem = script ? "" : script.error().message();
    if (problem.empty() && !check) {
      auto backend = linux_tcp ? paste::scripts::make_linux_backend(*script)
                               : paste::Result<std::unique_ptr<paste::scripts::Backend>>(
                                     paste::scripts::make_engine_backend(*script));
      problem =
          backend ? paste::scripts::Runner(*script, **backend).run() : backend.error().message();
    }
    if (problem.empty()) continue;
    ++failed;
    std::printf("%s\n", problem.c_str());
  }
  std::printf("%u scripts, %u failed\n", run, failed);
  return failed == 0 && run > 0 ? 0 : 1;
}
