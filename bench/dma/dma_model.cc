// dma_model: keeping by hold against keeping by copy where a NIC writes frames straight into
// buffers: another core does, into a pool several times the last-level cache, so that the record
// is in nobody's cache near the server. CRC32C on both sides. Prints one line of JSON.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/time.h"
#include "log/log.h"
#include "nic_model.h"
#include "pmem/region.h"
#include "pool/core.h"
#include "port/xdp/xdp_driver.h"
#include "server/server.h"

namespace {

using namespace paste;
using paste::bench::NicModel;

struct Settings {
  std::string directory = "/dev/shm";
  uint64_t pool_bytes = uint64_t{1} << 30;
  uint32_t record_bytes = 1024, connections = 64;
  double seconds = 1;
  int repeat = 3, server_cpu = 0, nic_cpu = 1;
};

struct Pool {
  explicit Pool(const Settings& s) {
    const std::string path = s.directory + "/dma-model-" + std::to_string(::getpid()) + ".paste";
    auto region = must(pmem::open_region({.path = path, .create = true, .size = s.pool_bytes}));
    std::remove(path.c_str());  // gone with the process
    must(pool::Core::create(*region, {}));
    core = must(pool::Core::open(std::move(region)));
    logs = must(log::Logs::recover(*core));
    must(core->finish_recovery());
  }
  std::unique_ptr<pool::Core> core;
  std::unique_ptr<log::Logs> logs;
};

uint64_t nanoseconds(const Settings& s) { return static_cast<uint64_t>(s.seconds * 1e9); }

// Frames are kept as fast as they can be: nanoseconds a record.
double keep(const Settings& s, bool copy) {
  constexpr uint32_t kBatch = 32;
  Pool pool(s);
  log::Log& log = *must(pool.logs->create("dma"));
  port::XdpSocketOptions options;
  options.fill_ring = options.receive_ring = 2048;
  port::NicRings rings;
  const auto socket = must(port::XdpSocket::open_model(options, rings));
  const uint32_t size = pool.core->buffer_size();
  NicModel nic({.connections = s.connections,
                .record_bytes = s.record_bytes,
                .endless = true,
                .cpu = s.nic_cpu},
               rings, pool.core->buffer(0), size);
  const auto post = [&](BufferName buffer) { socket->fill.put(uint64_t{buffer} * size); };
  for (uint32_t i = 0; i < options.fill_ring; ++i)
    post(must(pool.core->take(pool::Purpose::receive)));
  socket->fill.publish();
  // What is kept at most, so that buffers come around when they have left every cache.
  const uint64_t newest = s.pool_bytes / size / 2;
  nic.start();
  uint64_t kept = 0, begin = 0;
  for (uint64_t now = base::monotonic_ns(), end = now + nanoseconds(s) * 5 / 4; now < end;
       now = base::monotonic_ns()) {
    // The first fifth warms up: every buffer of the pool is used.
    if (begin == 0 && now > end - nanoseconds(s)) {
      begin = now;
      kept = 0;
    }
    const uint32_t n = std::min(socket->receive.available(), kBatch);
    if (n == 0) continue;
    for (uint32_t i = 0; i < n; ++i) {
      const xdp_desc frame = socket->receive.take();
      if (i + 1 < n) {  // as the port does
        const xdp_desc& next = socket->receive.front();
        port::prefetch(pool.core->buffer(0) + next.addr, next.len);
      }
      const auto buffer = static_cast<BufferName>(frame.addr / size);
      const Slice record{buffer, static_cast<uint16_t>(frame.addr % size + nic.record_at()),
                         static_cast<uint16_t>(s.record_bytes)};
      if (copy) {
        PASTE_CHECK(log.append_bytes(pool.core->bytes(record), {.time_ns = now}).has_value());
        post(buffer);
      } else {
        PASTE_CHECK(log.append({&record, 1}, {.time_ns = now}).has_value());
        post(must(pool.core->take(pool::Purpose::receive)));
      }
    }
    socket->receive.give_back();
    socket->fill.publish();
    kept += n;
    must(log.truncate(log.cut_for_count(newest)));
    pool.logs->reclaim(64);
    must(pool.core->commit());
  }
  const double taken = static_cast<double>(base::monotonic_ns() - begin);
  nic.stop();
  return taken / static_cast<double>(kept);
}

struct Served {
  double rate = 0, nic_idle = 0;
};

// The whole server, TCP and HTTP included.
Served serve(const Settings& s, bool copy) {
  Pool pool(s);
  port::Interface interface;
  interface.name = interface.device = "model";
  interface.mtu = 1500;
  interface.mac = {{2, 0, 0, 0, 0, 1}};
  interface.addresses = {tcp::ipv4_mapped(10, 0, 0, 1)};
  port::NicRings rings;
  port::DriverOptions options;
  options.polling = Polling::busy;
  const auto driver = must(port::XdpDriver::open_model(interface, rings, *pool.core, options));
  server::ServerOptions server_options;
  server_options.listen = {must(server::parse_listen("http://10.0.0.1:8080"))};
  server_options.copy = copy;
  server_options.scrub_per_second = 0;
  server_options.grace = Duration{0};
  const auto server = must(server::Server::create(*pool.core, *pool.logs, *driver, server_options,
                                                  server::ServerInfo{}));
  NicModel nic({.connections = s.connections, .record_bytes = s.record_bytes, .cpu = s.nic_cpu},
               rings, pool.core->buffer(0), pool.core->buffer_size());
  nic.start();
  const uint64_t newest = s.pool_bytes / pool.core->buffer_size() / 2;
  const auto run_for = [&](uint64_t ns) {
    const uint64_t end = base::monotonic_ns() + ns;
    for (uint64_t turn = 0; base::monotonic_ns() < end; ++turn) {
      must(server->turn(std::chrono::milliseconds(1)));
      log::Log* log = turn % 64 == 0 ? pool.logs->find("dma") : nullptr;
      if (log != nullptr) must(log->truncate(log->cut_for_count(newest)));
    }
  };
  run_for(nanoseconds(s) / 4);
  const uint64_t replies = nic.replies(), idle = nic.idle_turns(), turns = nic.turns();
  const uint64_t begin = base::monotonic_ns();
  run_for(nanoseconds(s));
  Served result;
  result.rate = static_cast<double>(nic.replies() - replies) * 1e9 /
                static_cast<double>(base::monotonic_ns() - begin);
  result.nic_idle = static_cast<double>(nic.idle_turns() - idle) /
                    static_cast<double>(std::max<uint64_t>(1, nic.turns() - turns));
  PASTE_CHECK(nic.refused() == 0);
  nic.stop();
  return result;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Keeping by hold against copying where a NIC writes into the pool");
  app.add_option("--record-bytes", s.record_bytes)->check(CLI::Range(1, 1300));
  app.add_option("--connections", s.connections)->check(CLI::Range(1, 1000));
  app.add_option("--seconds", s.seconds, "for each measurement");
  app.add_option("--repeat", s.repeat)->check(CLI::Range(1, 100));
  app.add_option("--server-core", s.server_cpu);
  app.add_option("--client-core", s.nic_cpu);
  bool profile = false;
  app.add_flag("--profile", profile, "only serve once, by hold: for callgrind and perf");
  app.add_option("--directory", s.directory, "where the pool goes");
  CLI11_PARSE(app, argc, argv);
  bench::run_on(s.server_cpu);
  if (profile) {
    const Served once = serve(s, false);
    std::printf("%.0f replies\n", once.rate * s.seconds);
    return 0;
  }
  std::vector<double> held, copied, kept_ratio, rate, rate_copy, rate_ratio, idle;
  for (int i = 0; i < s.repeat; ++i) {  // interleaved, so that noise hits both
    held.push_back(keep(s, false));
    copied.push_back(keep(s, true));
    kept_ratio.push_back(copied.back() / held.back());
    const Served hold = serve(s, false), copy = serve(s, true);
    rate.push_back(hold.rate);
    rate_copy.push_back(copy.rate);
    rate_ratio.push_back(hold.rate / copy.rate);
    idle.push_back(std::min(hold.nic_idle, copy.nic_idle));
  }
  const nlohmann::json result = {
      {"record_bytes", s.record_bytes},    {"keep_hold_ns", median(held)},
      {"keep_copy_ns", median(copied)},    {"keep_ratio", median(kept_ratio)},
      {"serve_hold_rate", median(rate)},   {"serve_copy_rate", median(rate_copy)},
      {"serve_ratio", median(rate_ratio)}, {"nic_idle", median(idle)},
  };
  std::printf("%s\n", result.dump().c_str());
  return 0;
}
