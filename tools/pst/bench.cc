// pst bench: loads an HTTP server with durable writes and says what it took.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/time.h"
#include "commands.h"
#include "load/http_load.h"
#include "pmem/region.h"
#include "port/driver.h"
#include "port_settings.h"
#include "stop_signals.h"

namespace paste::tool {
namespace {

constexpr std::string_view kTeach =
    "  pst bench http://127.0.0.1:8080/log/bench --connections 64\n"
    "  pst bench http://10.0.0.1:8080/log/bench --port xdp:eth1 --seconds 10 --json\n"
    "Each connection posts a record, waits for the reply, and posts the next (a closed loop).\n"
    "Over xdp the program's own TCP sends and receives, so one core loads any server.\n"
    "\n"
    "Exit status: 0 done, 1 could not, or not every reply was 2xx, 2 wrong options.";

struct Settings {
  std::string url;
  std::string port = "kernel";
  load::HttpLoadOptions load;
  uint64_t connections = 64;
  uint64_t record_bytes = 1024;
  Duration seconds{5'000'000'000};
  Duration warmup{1'000'000'000};
  Polling polling = Polling::busy;
  std::optional<uint64_t> cpu;
  std::string pcap;
  bool json = false;
};

Result<void> parse_url(const std::string& url, load::HttpLoadOptions& options) {
  constexpr std::string_view kHttp = "http://";
  const std::string_view text = url;
  const size_t slash = text.find('/', kHttp.size());
  if (!text.starts_with(kHttp) || slash == std::string_view::npos) {
    return fail(Code::invalid, fmt::format("'{}': write http://ADDRESS:PORT/PATH", url));
  }
  PASTE_TRY_ASSIGN(options.server,
                   parse_endpoint(text.substr(kHttp.size(), slash - kHttp.size()), Transport::tcp));
  options.path = text.substr(slash);
  return {};
}

// A line that is written over, for people who wait.
void show(const load::Counts& counts, uint64_t begin_ns) {
  const double seconds = static_cast<double>(base::monotonic_ns() - begin_ns) / 1e9;
  fmt::print(stderr, "\r{:6.0f} s  {:9.0f} requests/s  p50 {:.1f} us  p99 {:.1f} us  errors {}   ",
             seconds, static_cast<double>(counts.replies) / seconds,
             static_cast<double>(counts.latency.quantile(0.5)) / 1e3,
             static_cast<double>(counts.latency.quantile(0.99)) / 1e3,
             counts.refused + counts.broken);
  std::fflush(stderr);
}

double batch(const load::Counts& counts) {
  return counts.turns == 0
             ? 0
             : static_cast<double>(counts.replies) / static_cast<double>(counts.turns);
}

double us(const load::Counts& counts, double q) {
  return static_cast<double>(counts.latency.quantile(q)) / 1e3;
}

void print_text(const load::Counts& counts, double seconds, const port::Driver& driver) {
  fmt::print("port       {}\n", driver.description());
  fmt::print("requests   {} in {:.2f} s, {:.0f} requests/s\n", counts.replies, seconds,
             static_cast<double>(counts.replies) / seconds);
  fmt::print("latency    p50 {:.1f} us, p90 {:.1f}, p99 {:.1f}, p99.9 {:.1f}, max {:.1f}\n",
             us(counts, 0.5), us(counts, 0.9), us(counts, 0.99), us(counts, 0.999),
             static_cast<double>(counts.latency.max()) / 1e3);
  fmt::print("batch      {:.1f} replies a turn\n", batch(counts));
  fmt::print("errors     {} refused{}, {} connections broken\n", counts.refused,
             counts.refused == 0 ? "" : fmt::format(" (the last with {})", counts.last_refusal),
             counts.broken);
}

void print_json(const load::Counts& counts, double seconds, const port::Driver& driver) {
  const nlohmann::json line = {{"port", driver.description()},
                               {"requests", counts.replies},
                               {"seconds", seconds},
                               {"rate", static_cast<double>(counts.replies) / seconds},
                               {"p50_us", us(counts, 0.5)},
                               {"p90_us", us(counts, 0.9)},
                               {"p99_us", us(counts, 0.99)},
                               {"p999_us", us(counts, 0.999)},
                               {"max_us", static_cast<double>(counts.latency.max()) / 1e3},
                               {"batch", batch(counts)},
                               {"refused", counts.refused},
                               {"last_refusal", counts.last_refusal},
                               {"broken", counts.broken}};
  fmt::print("{}\n", line.dump());
}

Result<bool> bench(const Settings& s, StopSignals& signals) {
  if (s.cpu) PASTE_TRY(pin(*s.cpu));
  raise_descriptor_limit(s.connections);
  constexpr uint64_t kPoolBytes = 64u << 20;
  PASTE_TRY_ASSIGN(auto region, pmem::anonymous_region(kPoolBytes));
  PASTE_TRY(pool::Core::create(*region, {}));
  PASTE_TRY_ASSIGN(auto core, pool::Core::open(std::move(region)));
  PASTE_TRY(core->finish_recovery());
  PortOptions options;
  options.polling = s.polling;
  options.pcap = s.pcap;
  PASTE_TRY_ASSIGN(auto driver, port::open_driver(s.port, *core, options));
  PASTE_TRY_ASSIGN(auto load, load::HttpLoad::open(*core, *driver, s.load));
  signals.arm([&load] { load->stop(); });
  uint64_t begin = base::monotonic_ns();
  const auto tell = [&begin](const load::Counts& counts) {
    if (::isatty(STDERR_FILENO) != 0) show(counts, begin);
  };
  auto ran = load->run(s.warmup, tell);
  if (ran && !load->stopped()) {
    load->clear();
    begin = base::monotonic_ns();
    ran = load->run(s.seconds, tell);
  }
  const double seconds = static_cast<double>(base::monotonic_ns() - begin) / 1e9;
  signals.disarm();
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\n");
  const load::Counts& counts = load->counts();
  if (!ran && counts.replies == 0) return fail(ran.error());
  s.json ? print_json(counts, seconds, *driver) : print_text(counts, seconds, *driver);
  PASTE_TRY(ran);
  return counts.refused + counts.broken == 0 && counts.replies != 0;
}

int run(Settings& s) {
  if (const auto parsed = parse_url(s.url, s.load); !parsed) {
    fmt::print(stderr, "pst bench: {}\npst bench --help explains it.\n", parsed.error().message());
    return kExitUsage;
  }
  s.load.connections = static_cast<uint32_t>(s.connections);
  s.load.record_bytes = static_cast<uint32_t>(s.record_bytes);
  StopSignals signals;
  const auto clean = bench(s, signals);
  if (clean) return *clean ? kExitOk : kExitFailed;
  fmt::print(stderr, "pst bench: {}\n", clean.error().message());
  return kExitFailed;
}

}  // namespace

Command bench_command() {
  auto s = std::make_shared<Settings>();
  Command command;
  command.name = "bench";
  command.summary = "Load a server with durable writes over HTTP";
  command.teach = kTeach;
  command.positionals = {{"URL", "http://ADDRESS:PORT/PATH, posted to", set_text(s->url)}};
  command.options = {
      {"port", "PORT", "kernel, or xdp:INTERFACE", "kernel", set_port(s->port)},
      {"connections", "N", "at once", "64", set_number(s->connections, 1, 20'000)},
      {"record-bytes", "N", "of each record", "1024", set_number(s->record_bytes, 0, 1u << 20)},
      {"seconds", "TIME", "how long to measure", "5s", set_duration(s->seconds)},
      {"warmup", "TIME", "before measuring", "1s", set_duration(s->warmup)},
      {"poll", "HOW", "busy, block, adaptive", "busy", set_polling(s->polling)},
      {"cpu", "N", "run on this processor", "any", set_cpu(s->cpu)},
      {"pcap", "FILE", "xdp: write frames to FILE and FILE.2, in turn", "", set_text(s->pcap)},
      {"json", "", "the result as JSON", "", set_switch(s->json)}};
  command.run = [s] { return run(*s); };
  return command;
}

}  // namespace paste::tool
