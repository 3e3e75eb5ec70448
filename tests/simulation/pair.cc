#include "pair.h"

#include <array>

namespace paste::simulation {
namespace {

tcp::FourTuple tuple_of(bool v6, bool client) {
  tcp::Address near = tcp::ipv4_mapped(10, 0, 0, 1);
  tcp::Address far = tcp::ipv4_mapped(10, 0, 0, 2);
  if (v6) {
    near = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    far = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  }
  if (client) return {.local = near, .remote = far, .local_port = 40000, .remote_port = 9000};
  return {.local = far, .remote = near, .local_port = 9000, .remote_port = 40000};
}

void draw_connection(sim::Prng& prng, tcp::ConnectionOptions& options) {
  using Algorithm = tcp::CongestionOptions::Algorithm;
  options.sender.congestion.algorithm = prng.below(2) == 0 ? Algorithm::cubic : Algorithm::reno;
  options.sender.congestion.hystart = prng.below(2) == 0;
  options.sender.congestion.idle = prng.below(2) == 0 ? tcp::CongestionOptions::Idle::restart
                                                      : tcp::CongestionOptions::Idle::validate;
  options.sender.nagle = prng.below(2) == 0;
  options.sender.user_timeout = std::chrono::hours(1);  // no test of it: it must not end a run
  if (prng.below(2) == 0) options.sender.rtt.rto_min = std::chrono::milliseconds(200);
  options.sender.pacing.timed = prng.below(3) == 0;
  options.sack = prng.below(4) != 0;
  options.timestamps = prng.below(4) != 0;
  options.window_scale = prng.below(4) != 0;
  options.ecn = prng.below(2) == 0;
  options.syn_tries = 60;
  const std::array<uint16_t, 4> sizes{536, 1220, 1440, 1460};
  options.mss = sizes[prng.below(4)];
  options.window_initial = 4096U << prng.below(6);
  options.buffers_max = 16U << prng.below(5);
  options.reassembly.buffers_max = 16U << prng.below(4);
  options.reassembly.coalesce_above = options.reassembly.buffers_max / 2;
  // So long that the last FIN, however often it is lost, finds somebody to acknowledge it.
  options.time_wait = std::chrono::minutes(10);
}

}  // namespace

PairOptions random_pair(uint64_t seed) {
  sim::Prng prng = sim::Prng(seed).fork("pair");
  PairOptions options;
  sim::Prng there = prng.fork("there");
  sim::Prng back = prng.fork("back");
  options.to_server = sim::swarm_link(there);
  options.to_client = sim::swarm_link(back);
  options.cuts = sim::Prng(seed).fork("cuts").below(4) == 0;
  const bool v6 = prng.below(2) == 0;
  for (PeerOptions* peer : {&options.client, &options.server}) {
    draw_connection(prng, peer->connection);
    // The links let 1500 bytes pass, and nobody tells the sender of larger ones.
    if (v6) peer->connection.mss = std::min<uint16_t>(peer->connection.mss, 1440);
    peer->send_bytes = prng.below(4) == 0 ? prng.below(3) : prng.below(1 << (8 + prng.below(11)));
    peer->write_bytes = 1U << prng.below(12);
    if (prng.below(4) == 0) peer->write_bytes = 1 + static_cast<uint32_t>(prng.below(2048));
    // One byte at a time takes as many buffers as bytes.
    peer->send_bytes = std::min<uint64_t>(peer->send_bytes, uint64_t{peer->write_bytes} * 2000);
    peer->read_every = Duration(prng.below(3) == 0 ? 1000 * prng.below(20'000) : 0);
  }
  options.client.tuple = tuple_of(v6, true);
  options.server.tuple = tuple_of(v6, false);
  return options;
}

PairOptions with_cards(uint64_t seed) {
  PairOptions options = random_pair(seed);
  sim::Prng prng = sim::Prng(seed).fork("cards");
  for (PeerOptions* peer : {&options.client, &options.server}) {
    sim::NicOptions& nic = peer->nic.emplace();
    nic.tx_ring = 1U << prng.below(9);
    nic.rx_ring = 4U << prng.below(7);
    nic.tx_burst = 1U << prng.below(7);
    nic.rx_burst = 1U << prng.below(7);
    nic.tx_refuse_ppm = prng.below(2) == 0 ? 0 : static_cast<uint32_t>(prng.below(200'000));
    nic.completion_delay = Duration(prng.below(1U << (10 + prng.below(16))));
    nic.completion_jitter = Duration(prng.below(1U << (10 + prng.below(16))));
    nic.completions_shuffled = prng.below(2) == 0;
    nic.wakeup_delay = Duration(prng.below(2) == 0 ? 0 : prng.below(100'000));
    peer->buffers = 1024;
  }
  return options;
}

Pair::Pair(uint64_t seed, const PairOptions& options)
    : world_(seed),
      options_(options),
      to_server_(world_, "to server", options.to_server),
      to_client_(world_, "to client", options.to_client),
      client_(world_, "client", options.client, to_server_),
      server_(world_, "server", options.server, to_client_),
      monitor_({.not_taken = [this](int end) { return (end == 0 ? client_ : server_).not_taken(); },
                .dropped = [this](int end) { return (end == 0 ? client_ : server_).dropped(); },
                .at_once = !options.client.nic && !options.server.nic}),
      cutter_(world_, to_server_, to_client_) {
  to_server_.observe(&monitor_.sender_tap(0));
  to_client_.observe(&monitor_.sender_tap(1));
  to_server_.connect(server_.endpoint());
  to_client_.connect(client_.endpoint());
}

void Cutter::act(tcp::Instant now) {
  sim::Link& link = *links_[prng_.below(2)];
  const bool bad = prng_.below(2) == 0;
  if (prng_.below(2) == 0) {
    link.partition(bad);
  } else {
    link.clog(bad);
  }
  world_.wake(*this, now + std::chrono::milliseconds(1 + prng_.below(1500)));
}

bool Pair::done() const noexcept { return client_.finished() && server_.finished(); }

bool Pair::wrong() const noexcept {
  return !client_.problem().empty() || !server_.problem().empty() || !monitor_.problem().empty();
}

std::string Pair::verdict() {
  for (const Peer* peer : {&client_, &server_}) {
    if (!peer->problem().empty()) return peer->problem();
  }
  if (!monitor_.problem().empty()) return monitor_.problem();
  const std::string where = "\n  " + client_.describe() + "\n  " + server_.describe();
  if (!done()) return "stuck" + where;
  if (client_.received() != options_.server.send_bytes ||
      server_.received() != options_.client.send_bytes) {
    return "bytes are missing" + where;
  }
  for (const Peer* peer : {&client_, &server_}) {
    if (peer->connection()->ending() != tcp::Ending::orderly) return "no orderly end" + where;
    if (peer->held_buffers() != 0) return "buffers were lost" + where;
  }
  for (Peer* peer : {&client_, &server_}) {
    if (peer->nic() == nullptr) continue;
    if (const auto ok = peer->nic()->check(); !ok) return ok.error().message() + where;
  }
  return "";
}

std::string Pair::run(Duration faulty, Duration patience) {
  server_.listen();
  client_.connect();
  if (options_.cuts) cutter_.start();
  const auto over = [this] { return done() || wrong(); };
  world_.run_until(over, world_.now() + faulty);
  cutter_.stop();
  to_server_.faults_off();
  to_client_.faults_off();
  for (Peer* peer : {&client_, &server_}) {
    if (peer->nic() != nullptr) peer->nic()->faults_off();
  }
  world_.run_until(over, world_.now() + patience);
  std::string problem = verdict();
  if (!problem.empty()) {
    problem += "\n  there " + sim::to_string(options_.to_server) + "\n  back " +
               sim::to_string(options_.to_client);
  }
  return problem;
}

}  // namespace paste::simulation
