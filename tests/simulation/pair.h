// Two peers and the links between them, everything drawn from one seed.
#pragma once

#include <memory>
#include <string>

#include "peer.h"
#include "port/sim/swarm.h"
#include "wire_monitor.h"

namespace paste::simulation {

// Cuts and clogs either link now and then, in any order, until it is told to stop.
class Cutter final : public sim::Actor {
 public:
  Cutter(sim::World& world, sim::Link& a, sim::Link& b)
      : world_(world), links_{&a, &b}, prng_(world.prng().fork("cutter")) {}
  void start() { world_.wake(*this, world_.now() + std::chrono::milliseconds(prng_.below(500))); }
  void stop() { world_.cancel(*this); }
  void act(tcp::Instant now) override;

 private:
  sim::World& world_;
  sim::Link* links_[2];
  sim::Prng prng_;
};

struct PairOptions {
  sim::LinkOptions to_server;
  sim::LinkOptions to_client;
  PeerOptions client;
  PeerOptions server;
  bool cuts = false;  // links are cut and clogged while faults are on
};

// Every choice is drawn from the seed: links, algorithms, options agreed on, sizes, readers.
[[nodiscard]] PairOptions random_pair(uint64_t seed);
// The same with network cards: finite rings, refusals, late and shuffled completions, batches.
[[nodiscard]] PairOptions with_cards(uint64_t seed);

class Pair {
 public:
  Pair(uint64_t seed, const PairOptions& options);

  // Client connects to server; both send their streams and close. Safety first: `faulty` long
  // everything may go wrong; then liveness: the faults stop and within `patience` all must be done.
  // Returns what is wrong, or ""; a rule of the wire that was broken is wrong, too.
  [[nodiscard]] std::string run(Duration faulty, Duration patience);

  [[nodiscard]] sim::World& world() noexcept { return world_; }
  [[nodiscard]] Peer& client() noexcept { return client_; }
  [[nodiscard]] Peer& server() noexcept { return server_; }
  [[nodiscard]] sim::Link& to_server() noexcept { return to_server_; }
  [[nodiscard]] sim::Link& to_client() noexcept { return to_client_; }
  [[nodiscard]] const WireMonitor& monitor() const noexcept { return monitor_; }

 private:
  [[nodiscard]] bool done() const noexcept;
  [[nodiscard]] bool wrong() const noexcept;
  [[nodiscard]] std::string verdict();

  sim::World world_;
  PairOptions options_;
  sim::Link to_server_;
  sim::Link to_client_;
  Peer client_;
  Peer server_;
  WireMonitor monitor_;
  Cutter cutter_;
};

}  // namespace paste::simulation
