// pst pool info: what a pool is and holds.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "open_pool.h"

namespace paste::tool {
namespace {

struct Settings {
  std::string path;
  bool json = false;
};

struct Totals {
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t held = 0;
  double amplification = 0;  // bytes of held buffers for one byte of record; 0: no records
};

Totals add_up(const InspectedPool& pool) {
  Totals totals;
  for (const log::Log* log : pool.logs->list()) {
    totals.records += log->next() - log->first();
    totals.bytes += log->bytes();
  }
  totals.held = count_held(*pool.core);
  if (totals.bytes != 0) {
    totals.amplification = static_cast<double>(totals.held * pool.core->buffer_size()) /
                           static_cast<double>(totals.bytes);
  }
  return totals;
}

void print_json(const InspectedPool& pool, const Totals& totals) {
  const pool::Core& core = *pool.core;
  nlohmann::json logs = nlohmann::json::array();
  for (const log::Log* log : pool.logs->list()) {
    logs.push_back({{"name", log->name()},
                    {"id", log->id()},
                    {"first", log->first()},
                    {"next", log->next()},
                    {"bytes", log->bytes()}});
  }
  const nlohmann::json document = {{"description", core.describe()},
                                   {"uuid", uuid_text(core)},
                                   {"bytes", core.region().size()},
                                   {"buffer_size", core.buffer_size()},
                                   {"buffers", core.buffer_end() - core.first_buffer()},
                                   {"buffers_held", totals.held},
                                   {"domain", to_string(core.region().domain())},
                                   {"survives", survives_text(core.region().domain())},
                                   {"records", totals.records},
                                   {"record_bytes", totals.bytes},
                                   {"space_amplification", totals.amplification},
                                   {"dropped_unacknowledged", pool.logs->recovery().torn},
                                   {"findings", pool.findings.size()},
                                   {"logs", std::move(logs)}};
  fmt::print("{}\n", document.dump(2));
}

void print_text(const InspectedPool& pool, const Totals& totals) {
  const pool::Core& core = *pool.core;
  const PoolWords words = pool_words(core.region());
  const uint64_t buffers = core.buffer_end() - core.first_buffer();
  fmt::print("pool       {}\n", words.place);
  fmt::print("identity   {}\n", uuid_text(core));
  fmt::print("geometry   {} in {} buffers of {}\n", format_size(core.region().size()), buffers,
             format_size(core.buffer_size()));
  fmt::print("domain     {}\n", words.domain);
  fmt::print(
      "in use     {} of {} buffers ({:.1f} %)\n", totals.held, buffers,
      buffers == 0 ? 0.0 : 100.0 * static_cast<double>(totals.held) / static_cast<double>(buffers));
  fmt::print("records    {} with {}", totals.records, format_size(totals.bytes));
  if (totals.amplification > 0) {
    fmt::print("; space amplification {:.2f}", totals.amplification);
  }
  fmt::print("\n");
  for (const log::Log* log : pool.logs->list()) {
    fmt::print("log        {}: LSN {} to {}, {}\n", log->name(), log->first(), log->next() - 1,
               format_size(log->bytes()));
  }
}

int run(const Settings& s) {
  auto pool = inspect_pool(s.path);
  if (!pool) {
    fmt::print(stderr, "pst pool info: {}\n", pool.error().message());
    return kExitFailed;
  }
  const InspectedPool& found = **pool;
  if (found.core && found.logs) {
    const Totals totals = add_up(found);
    s.json ? print_json(found, totals) : print_text(found, totals);
  }
  if (!found.findings.empty()) {
    fmt::print(stderr, "pst pool info: {} is damaged; `pst pool check {}` lists what\n", s.path,
               s.path);
    return kExitFailed;
  }
  return kExitOk;
}

}  // namespace

Command pool_info_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "info";
  command.summary = "Geometry, domain, logs, records, space";
  command.teach =
      "  pst pool info orders.paste --json | jq .logs\n"
      "Space amplification is the size of all held buffers for one byte of record.\n"
      "Exit status: 0 told, 1 could not or damaged, 2 wrong options.";
  command.positionals = {{"PATH", "the pool", set_text(s->path)}};
  command.options = {{"json", "", "as JSON", "", set_switch(s->json)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
