// Goal: an engine serves many connections, forgets none of them, and is not overrun.
// Method: two hosts over links in virtual time: short connections on faulty links, floods of SYNs
// from invented addresses. PASTE_SIM_SEEDS=n / 20 seeds.
#include <gtest/gtest.h>

#include <cstdlib>

#include "host.h"
#include "port/sim/swarm.h"

namespace paste::simulation {
namespace {

constexpr tcp::Address kClient = tcp::ipv4_mapped(10, 0, 0, 1);
constexpr tcp::Address kServer = tcp::ipv4_mapped(10, 0, 0, 2);

struct Net {
  Net(uint64_t seed, const sim::LinkOptions& there, const sim::LinkOptions& back,
      HostOptions client_options, HostOptions server_options)
      : world(seed),
        to_server(world, "to server", there),
        to_client(world, "to client", back),
        client(world, "client", client_options, to_server),
        server(world, "server", server_options, to_client) {
    to_server.connect(server);
    to_client.connect(client);
    server.start();
    client.start();
  }
  [[nodiscard]] std::string describe() const {
    return client.describe() + "\n  " + server.describe() + "\n  there " +
           sim::to_string(to_server.options()) + "\n  back " + sim::to_string(to_client.options());
  }

  sim::World world;
  sim::Link to_server;
  sim::Link to_client;
  Host client;
  Host server;
};

HostOptions client_of(uint32_t connections) {
  HostOptions options;
  options.address = kClient;
  options.server = kServer;
  options.connections = connections;
  options.engine.connection.syn_tries = 30;
  options.engine.connection.sender.user_timeout = std::chrono::hours(2);
  return options;
}

HostOptions server_of() {
  HostOptions options;
  options.address = kServer;
  options.echo = true;
  options.engine.connection.sender.user_timeout = std::chrono::hours(2);
  return options;
}

uint64_t seeds() {
  const char* text = std::getenv("PASTE_SIM_SEEDS");
  return (text != nullptr ? std::strtoull(text, nullptr, 0) : 2000) / 20;
}

TEST(Engine, ServesShortConnectionsOverEveryNetwork) {
  uint64_t answered = 0;
  for (uint64_t seed = 1; seed <= seeds(); ++seed) {
    sim::Prng prng = sim::Prng(seed).fork("net");
    HostOptions client = client_of(40);
    client.client_closes = prng.below(2) == 0;
    client.at_once = 1 + static_cast<uint32_t>(prng.below(20));
    HostOptions server = server_of();
    server.engine.half_open_max = 1 + static_cast<uint32_t>(prng.below(20));
    Net net(seed, sim::swarm_link(prng.fork("there")), sim::swarm_link(prng.fork("back")), client,
            server);
    const auto done = [&] {
      return net.client.answered() + net.client.failed() == 40 && net.client.idle() &&
             net.server.idle();
    };
    net.world.run_until(done, net.world.now() + std::chrono::minutes(2));
    net.to_server.faults_off();
    net.to_client.faults_off();
    EXPECT_TRUE(net.world.run_until(done, net.world.now() + std::chrono::hours(4)))
        << "seed " << seed << "\n  " << net.describe();
    EXPECT_EQ(net.client.problem() + net.server.problem(), "") << "seed " << seed;
    EXPECT_EQ(net.client.held_buffers() + net.server.held_buffers(), 0U) << "seed " << seed;
    answered += net.client.answered();
    if (HasFailure()) return;
  }
  // A handshake's last ACK may be lost while its cookie grows stale: few fail, none may be wrong.
  EXPECT_GE(answered * 1000, seeds() * 40 * 999);
}

TEST(Engine, ASynFloodLeavesTheRestUnharmed) {
  HostOptions server = server_of();
  server.engine.half_open_max = 256;
  Net net(1, {.delay = std::chrono::milliseconds(1)}, {.delay = std::chrono::milliseconds(1)},
          client_of(300), server);
  sim::Prng prng(4987);
  const tcp::Outgoing syn = [] {
    tcp::Outgoing out;
    out.header.flags = tcp::kSyn;
    out.header.window = 65535;
    out.header.options.mss = 1460;
    return out;
  }();
  const auto done = [&] { return net.client.answered() + net.client.failed() == 300; };
  constexpr uint32_t kFlood = 1'000'000;
  for (uint32_t i = 0; i < kFlood; ++i) {
    tcp::FourTuple from{.local = tcp::ipv4_mapped(172, 16, static_cast<uint8_t>(prng.below(256)),
                                                  static_cast<uint8_t>(prng.below(255))),
                        .remote = kServer,
                        .local_port = static_cast<uint16_t>(1 + prng.below(65535)),
                        .remote_port = 9000};
    sim::Frame frame(tcp::kHeadersMax);
    frame.resize(tcp::emit_packet(from, syn, {}, 0, frame));
    net.to_server.send(std::move(frame));
    net.world.run_for(std::chrono::microseconds(10));
    ASSERT_LE(net.server.engine().half_open(), 256U);
  }
  EXPECT_TRUE(net.world.run_until(done, net.world.now() + std::chrono::minutes(1)))
      << net.describe();
  EXPECT_EQ(net.client.answered(), 300U) << net.describe();
  EXPECT_GT(net.server.engine().counters().cookies_sent, kFlood / 2);
  EXPECT_GT(net.server.engine().counters().cookies_taken, 0U);
  EXPECT_EQ(net.client.problem() + net.server.problem(), "");
}

TEST(Engine, RefusesWhatNobodyListensFor) {
  HostOptions client = client_of(3);
  client.port = 9001;
  Net net(1, {}, {}, client, server_of());
  const auto done = [&] { return net.client.failed() == 3; };
  EXPECT_TRUE(net.world.run_until(done, net.world.now() + std::chrono::seconds(1)));
  EXPECT_EQ(net.server.engine().counters().refused, 3U);
}

}  // namespace
}  // namespace paste::simulation
