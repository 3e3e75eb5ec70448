// pst serve: puts pool, logs, port and server together, runs them, and ends them in order.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/logging.h"
#include "commands.h"
#include "confine.h"
#include "notify.h"
#include "open_pool.h"
#include "port/driver.h"
#include "port_settings.h"
#include "serve_settings.h"
#include "stop_signals.h"

namespace paste::tool {
namespace {

constexpr std::string_view kTeach =
    "Records posted to a log are answered only after they are durable:\n"
    "  pst serve --pool orders.paste --create --size 2GiB\n"
    "  curl -d 'first record' http://127.0.0.1:8080/log/orders\n"
    "  curl 'http://127.0.0.1:8080/log/orders?from=1&limit=10'\n"
    "\n"
    "What survives: memory and page pools keep records through power loss, process pools through\n"
    "a crash of the program; auto takes the strongest that the pool's place gives, and what a "
    "place\n"
    "cannot give is refused. A listen port of 0 lets the system choose.\n"
    "\n"
    "Every option may also be given in the environment (PST_MEDIA_DELAY=10us) or in a file\n"
    "(--config pst.toml, table [serve]). The command line wins over the environment, and that\n"
    "over the file. SIGTERM and SIGINT end the server cleanly, SIGHUP opens the log file again.\n"
    "\n"
    "Exit status: 0 ended as asked, 1 could not start or go on, 2 wrong options.";

int failed(const Error& error) {
  base::log_error("{}", error.message());
  return kExitFailed;
}

Result<OpenedPool> open_the_pool(const ServeSettings& s) {
  pmem::RegionOptions region;
  region.path = s.pool;
  region.domain = s.domain;
  region.create = s.create;
  region.size = s.size;
  region.media_delay = s.media_delay;
  region.disk_io = s.disk_io;
  // Who asks for epoll says that io_uring is not to be used here.
  if (s.io == Io::epoll && s.disk_io == pmem::DiskIo::automatic) {
    region.disk_io = pmem::DiskIo::posix;
  }
  auto opened = open_pool(region, {.buffer_size = static_cast<uint32_t>(s.buffer_size)});
  if (opened) return opened;
  const Error& error = opened.error();
  if (error.code() == Code::corrupt) {
    return fail(Code::corrupt, fmt::format("the pool {} is damaged and is not served: {}\n"
                                           "`pst pool check {}` lists what is damaged",
                                           s.pool, error.message(), s.pool));
  }
  if (error.code() == Code::not_found && !s.create) {
    return fail(Code::not_found, fmt::format("{}\n--create makes the pool", error.message()));
  }
  return opened;
}

PortOptions port_options(const ServeSettings& s) {
  PortOptions options;
  options.io = s.io;
  options.polling = s.polling;
  options.spin = s.spin;
  options.limits.connections_max = static_cast<uint32_t>(s.connections_max);
  options.limits.receive_buffers = static_cast<uint32_t>(s.receive_buffers);
  options.pcap = s.pcap;
  options.pcap_bytes = s.pcap_bytes;
  return options;
}

void print_start(const ServeSettings& s, const server::ServerInfo& info, const OpenedPool& pool,
                 const std::vector<std::string>& addresses) {
  if (s.json) {
    const log::RecoveryStats& stats = pool.logs->recovery();
    const nlohmann::json line = {{"version", info.version},
                                 {"pool", s.pool},
                                 {"backing", info.pool},
                                 {"uuid", uuid_text(*pool.core)},
                                 {"domain", info.domain},
                                 {"survives", info.survives},
                                 {"port", info.port},
                                 {"listen", addresses},
                                 {"created", pool.created},
                                 {"recovery",
                                  {{"logs", stats.logs},
                                   {"records", stats.records},
                                   {"dropped_unacknowledged", stats.torn},
                                   {"damaged", stats.corrupt},
                                   {"seconds", static_cast<double>(pool.took.count()) / 1e9}}}};
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("pst {}\n", info.version);
    fmt::print("pool       {}\n", info.pool);
    fmt::print("domain     {}\n", pool_words(pool.core->region()).domain);
    fmt::print("port       {}\n", info.port);
    fmt::print("recovery   {}\n", info.recovery);
    for (const std::string& address : addresses) fmt::print("listening on {}\n", address);
  }
  std::fflush(stdout);
}

server::ServerInfo describe(const OpenedPool& pool, const port::Driver& driver) {
  server::ServerInfo info;
  const pmem::Region& region = pool.core->region();
  info.version = PASTE_VERSION;
  info.pool = fmt::format("{}, {} in buffers of {}", pool_words(region).place,
                          format_size(region.size()), format_size(pool.core->buffer_size()));
  info.domain = to_string(region.domain());
  info.survives = survives_text(region.domain());
  info.port = driver.description();
  info.recovery = recovery_text(pool);
  return info;
}

Result<void> serve(const ServeSettings& s, StopSignals& signals) {
  if (s.cpu) PASTE_TRY(pin(*s.cpu));
  raise_descriptor_limit(s.connections_max);
  PASTE_TRY_ASSIGN(OpenedPool pool, open_the_pool(s));
  PASTE_TRY_ASSIGN(auto driver, port::open_driver(s.port, *pool.core, port_options(s)));
  const server::ServerInfo info = describe(pool, *driver);
  PASTE_TRY_ASSIGN(auto server,
                   server::Server::create(*pool.core, *pool.logs, *driver, s.server, info));
  // Everything that needs privileges is open now.
  if (!s.user.empty()) PASTE_TRY(change_user(s.user));
  signals.drop_privileges();
  drop_privileges();
  const bool unix_sockets = std::ranges::any_of(s.server.listen, [](const server::Listen& listen) {
    return listen.endpoint.transport == Transport::unix_stream;
  });
  PASTE_TRY(
      confine({.sandbox = s.sandbox, .opens_log = !s.log_file.empty(), .unlinks = unix_sockets}));
  signals.arm([&server] { server->stop(); });
  print_start(s, info, pool, server->addresses());
  if (const uint64_t damaged = pool.logs->recovery().corrupt; damaged != 0) {
    base::log_warning(
        "{} records are damaged; reading them fails, all else is served; "
        "`pst pool check {}` lists them when the server is down",
        damaged, s.pool);
  }
  notify_manager(fmt::format("READY=1\nSTATUS=serving {}", s.pool));
  auto run = server->run();
  notify_manager("STOPPING=1");
  signals.disarm();
  return run;
}

int run_serve(ServeSettings& s) {
  if (s.pool.empty()) {
    fmt::print(stderr,
               "pst serve: no pool given: write --pool PATH, PST_POOL=PATH, or pool = \"PATH\" in "
               "the file of --config; --create makes it\npst serve --help explains the options.\n");
    return kExitUsage;
  }
  if (s.server.listen.empty()) {
    s.server.listen.push_back(server::parse_listen("http://127.0.0.1:8080").value());
  }
  base::log_set_level(base::parse_level(s.log_level).value());
  if (!s.log_file.empty()) {
    if (auto opened = base::log_open(s.log_file); !opened) return failed(opened.error());
  }
  StopSignals signals;
  if (auto served = serve(s, signals); !served) {
    // With a log file the person at the terminal would otherwise see nothing.
    if (!s.log_file.empty()) fmt::print(stderr, "pst serve: {}\n", served.error().message());
    return failed(served.error());
  }
  base::log_info("ended cleanly");
  return kExitOk;
}

}  // namespace

Command serve_command() {
  auto settings = std::make_shared<ServeSettings>();
  Command command;
  command.name = "serve";
  command.summary = "Serve a pool: durable logs over HTTP and UDP";
  command.teach = kTeach;
  command.options = serve_options(*settings);
  command.settings = true;
  command.run = [settings] { return run_serve(*settings); };
  return command;
}

}  // namespace paste::tool
