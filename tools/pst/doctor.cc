// pst doctor: what this machine can do for a pool, and what to change where it could do more.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "commands.h"
#include "doctor_advice.h"
#include "doctor_interfaces.h"
#include "pmem/probe.h"
#include "port/driver.h"
#include "port/xdp/kernel_defects.h"

namespace paste::tool {
namespace {

struct Settings {
  std::vector<std::string> paths;
  std::vector<std::string> interfaces;  // empty: all that are up
  bool json = false;
};

struct Report {
  std::string kernel;
  Machine machine;
  std::vector<std::pair<std::string, Result<pmem::PathReport>>> paths;
  std::vector<std::pair<std::string, Result<port::XdpReport>>> interfaces;
};

void look_at_interfaces(const Settings& s, Report& report) {
  const bool all = s.interfaces.empty();
  for (const std::string& name : all ? port::interface_names() : s.interfaces) {
    auto found = port::probe_interface(name);
    if (all && (!found || !found->up || !found->ethernet)) continue;
    report.interfaces.emplace_back(name, std::move(found));
  }
}

Report look(const Settings& s) {
  Report report;
  utsname name{};
  if (uname(&name) == 0)
    report.kernel = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  report.machine.memory = pmem::probe_machine();
  report.machine.uring_refusal = port::uring_unavailable_reason();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) report.machine.descriptors = limit.rlim_max;
  for (const port::KernelDefect& defect : port::known_defects(name.release)) {
    report.machine.kernel_defects.push_back({defect.what, defect.remedy});
  }
  for (const std::string& path : s.paths) report.paths.emplace_back(path, pmem::probe_path(path));
  look_at_interfaces(s, report);
  return report;
}

nlohmann::json advice_json(const std::vector<Advice>& advice) {
  nlohmann::json list = nlohmann::json::array();
  for (const Advice& one : advice) list.push_back({{"finding", one.finding}, {"do", one.remedy}});
  return list;
}

nlohmann::json path_json(const std::string& path, const Result<pmem::PathReport>& result) {
  if (!result) return {{"path", path}, {"error", result.error().message()}};
  const pmem::PathReport& report = *result;
  return {{"path", path},
          {"exists", report.exists},
          {"backing", to_string(report.backing)},
          {"file_system", report.file_system},
          {"dax", report.dax},
          {"direct_io", report.direct_io},
          {"domain", to_string(report.domain)},
          {"why", why_text(report)},
          {"free_bytes", report.free_bytes},
          {"advice", advice_json(advise(report))}};
}

nlohmann::json interfaces_json(const Report& report) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [name, result] : report.interfaces) {
    list.push_back(result
                       ? interface_json(*result, advise(*result, report.machine))
                       : nlohmann::json{{"interface", name}, {"error", result.error().message()}});
  }
  return list;
}

void print_json(const Report& report) {
  const Machine& m = report.machine;
  nlohmann::json paths = nlohmann::json::array();
  for (const auto& [path, result] : report.paths) paths.push_back(path_json(path, result));
  const nlohmann::json document = {{"version", PASTE_VERSION},
                                   {"kernel", report.kernel},
                                   {"flush_instruction", m.memory.flush_instruction},
                                   {"eadr", m.memory.eadr},
                                   {"io_uring_port", m.uring_refusal.empty()},
                                   {"io_uring_port_refusal", m.uring_refusal},
                                   {"io_uring_disk", m.memory.io_uring},
                                   {"io_uring_disk_refusal", m.memory.io_uring_refusal},
                                   {"transparent_huge_pages", m.memory.transparent_huge_pages},
                                   {"huge_pages_free", m.memory.huge_pages_free},
                                   {"huge_page_size", m.memory.huge_page_size},
                                   {"memory_available", m.memory.memory_available},
                                   {"memlock_unlimited", m.memory.memlock_unlimited},
                                   {"memlock_limit", m.memory.memlock_limit},
                                   {"descriptors_limit", m.descriptors},
                                   {"advice", advice_json(advise(m))},
                                   {"interfaces", interfaces_json(report)},
                                   {"paths", std::move(paths)}};
  fmt::print("{}\n", document.dump(2));
}

void print_advice(const std::vector<Advice>& advice) {
  for (const Advice& one : advice) {
    fmt::print("  note     {}\n", one.finding);
    fmt::print("  do       {}\n", one.remedy);
  }
}

std::string works(const std::string& refusal) {
  return refusal.empty() ? "works" : "cannot be used: " + refusal;
}

void print_text(const Report& report) {
  const Machine& m = report.machine;
  fmt::print("pst {} on {}\n", PASTE_VERSION, report.kernel);
  fmt::print("flush      {}{}\n", m.memory.flush_instruction,
             m.memory.eadr ? "; caches survive power loss (eADR)" : "");
  fmt::print("io_uring   for sockets {}\n", works(m.uring_refusal));
  fmt::print("           for disks {}\n", works(m.memory.io_uring_refusal));
  fmt::print("memory     {} available, transparent huge pages: {}, {} huge pages of {} free\n",
             format_size(m.memory.memory_available), m.memory.transparent_huge_pages,
             m.memory.huge_pages_free, format_size(m.memory.huge_page_size));
  fmt::print("memlock    {}\n", m.memory.memlock_unlimited ? std::string("unlimited")
                                                           : format_size(m.memory.memlock_limit));
  fmt::print("files      at most {} descriptors, so connections\n", m.descriptors);
  print_advice(advise(m));
  for (const auto& [name, result] : report.interfaces) {
    if (result) {
      print_interface(*result, advise(*result, m));
    } else {
      fmt::print("interface  {}: {}\n", name, result.error().message());
    }
  }
  for (const auto& [path, result] : report.paths) {
    if (!result) {
      fmt::print("path       {}: {}\n", path, result.error().message());
      continue;
    }
    fmt::print("path       {}{}\n", path, result->exists ? "" : " (not there yet)");
    fmt::print("  backing  {} on {}, {} free\n", to_string(result->backing), result->file_system,
               format_size(result->free_bytes));
    fmt::print("  domain   {}\n", result->domain_text);
    fmt::print("  because  {}\n", why_text(*result));
    print_advice(advise(*result));
  }
}

int run(const Settings& s) {
  const Report report = look(s);
  s.json ? print_json(report) : print_text(report);
  for (const auto& [path, result] : report.paths) {
    if (!result) return kExitFailed;
  }
  for (const auto& [name, result] : report.interfaces) {
    if (!result) return kExitFailed;
  }
  return kExitOk;
}

}  // namespace

Command doctor_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "doctor";
  command.summary = "What this machine can do for a pool and an xdp port, and what to change";
  command.teach =
      "  pst doctor /dev/shm /var/lib/paste/orders.paste /dev/dax0.0\n"
      "  pst doctor --interface eth0\n"
      "Tells for each path which persistence domain a pool there would get, and why; and what an\n"
      "xdp port could do on each interface that is up, with the commands that make it better.\n"
      "Exit status: 0 told, 1 a path cannot hold a pool or an interface is not there, 2 wrong\n"
      "options.";
  command.positionals = {{"PATH", "pools, files to be, or directories",
                          [s](std::string_view path) -> Result<void> {
                            s->paths.emplace_back(path);
                            return {};
                          },
                          false, true}};
  command.options = {{"interface", "NAME", "only this one; repeats", "all that are up",
                      [s](std::string_view name) -> Result<void> {
                        s->interfaces.emplace_back(name);
                        return {};
                      },
                      true},
                     {"json", "", "as JSON", "", set_switch(s->json)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
