// pst pool create: formats a file or a device.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "commands.h"
#include "open_pool.h"

namespace paste::tool {
namespace {

struct Settings {
  std::string path;
  uint64_t size = 0;
  uint64_t buffer_size = 2048;
  std::optional<pmem::Domain> domain;
  bool force = false;
};

int run(const Settings& s) {
  pmem::RegionOptions options;
  options.path = s.path;
  options.size = s.size;
  options.domain = s.domain;
  auto region =
      create_pool(options, {.buffer_size = static_cast<uint32_t>(s.buffer_size)}, s.force);
  if (!region) {
    fmt::print(stderr, "pst pool create: {}\n", region.error().message());
    return kExitFailed;
  }
  const PoolWords words = pool_words(**region);
  fmt::print("created    {}, {} in buffers of {}\n", words.place, format_size((*region)->size()),
             format_size(s.buffer_size));
  fmt::print("domain     {}\n", words.domain);
  return kExitOk;
}

}  // namespace

Command pool_create_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "create";
  command.summary = "Make a pool";
  command.teach =
      "  pst pool create orders.paste --size 2GiB\n"
      "  pst pool create /dev/dax0.0 --domain memory\n"
      "Exit status: 0 made, 1 could not, 2 wrong options.";
  command.positionals = {{"PATH", "where: a new file, or a device", set_text(s->path)}};
  command.options = {
      {"size", "SIZE", "how large", "1GiB, a whole device", set_size(s->size)},
      {"buffer-size", "SIZE", "2KiB or 4KiB", "2KiB",
       set_choice<uint64_t>(s->buffer_size,
                            {{"2KiB", 2048}, {"2048", 2048}, {"4KiB", 4096}, {"4096", 4096}})},
      {"domain", "DOMAIN", "auto, memory, process or page", "auto",
       set_choice<std::optional<pmem::Domain>>(s->domain, {{"auto", std::nullopt},
                                                           {"memory", pmem::Domain::memory},
                                                           {"process", pmem::Domain::process},
                                                           {"page", pmem::Domain::page}})},
      {"force", "", "format a device that is not blank; what it holds is lost", "",
       set_switch(s->force)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
