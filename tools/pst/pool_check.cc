// pst pool check: verifies everything that is stored, and lists what is damaged.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "commands.h"
#include "open_pool.h"

namespace paste::tool {
namespace {

struct Settings {
  std::string path;
  bool json = false;
};

// Recovery may stop early at what it can vouch for without reading every byte; a check reads all.
uint64_t read_every_record(InspectedPool& pool) {
  std::set<std::string> known;
  for (const pool::Finding& finding : pool.findings) known.insert(finding.what);
  uint64_t good = 0;
  for (log::Log* log : pool.logs->list()) {
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) {
      const auto record = log->read(lsn);
      if (record) {
        ++good;
      } else if (record.error().code() != Code::not_found) {
        std::string what = fmt::format("record {} of log {}", lsn, log->name());
        if (known.insert(what).second) {
          pool.findings.push_back({Code::corrupt, std::move(what), record.error().message()});
        }
      }
    }
  }
  return good;
}

void print_json(const Settings& s, const InspectedPool& pool, uint64_t good) {
  nlohmann::json findings = nlohmann::json::array();
  for (const pool::Finding& finding : pool.findings) {
    findings.push_back(
        {{"what", finding.what}, {"code", to_string(finding.code)}, {"detail", finding.detail}});
  }
  const nlohmann::json document = {{"pool", s.path},
                                   {"clean", pool.findings.empty()},
                                   {"records_good", good},
                                   {"findings", std::move(findings)}};
  fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const Settings& s, const InspectedPool& pool, uint64_t good) {
  for (const pool::Finding& finding : pool.findings) {
    fmt::print("damaged: {}: {}\n", finding.what, finding.detail);
  }
  if (pool.logs) {
    const uint64_t torn = pool.logs->recovery().torn;
    fmt::print("{} records in {} logs are good", good, pool.logs->list().size());
    if (torn != 0) fmt::print("; {} entries behind the end were never acknowledged", torn);
    fmt::print("\n");
  }
  if (pool.findings.empty()) {
    fmt::print("{} is clean\n", s.path);
  } else {
    fmt::print("{} is DAMAGED in {} {}\n", s.path, pool.findings.size(),
               pool.findings.size() == 1 ? "place" : "places");
  }
}

int run(const Settings& s) {
  auto pool = inspect_pool(s.path);
  if (!pool) {
    fmt::print(stderr, "pst pool check: {}\n", pool.error().message());
    return kExitFailed;
  }
  InspectedPool& found = **pool;
  const uint64_t good = found.logs ? read_every_record(found) : 0;
  s.json ? print_json(s, found, good) : print_text(s, found, good);
  return found.findings.empty() ? kExitOk : kExitDamaged;
}

}  // namespace

Command pool_check_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "check";
  command.summary = "Verify everything that is stored; list what is damaged";
  command.teach =
      "  pst pool check orders.paste\n"
      "Reads superblock copies, root pages, log pages and every record. Writes nothing.\n"
      "Exit status: 0 clean, 1 could not check, 2 damaged (or wrong options).";
  command.positionals = {{"PATH", "the pool", set_text(s->path)}};
  command.options = {{"json", "", "as JSON", "", set_switch(s->json)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
