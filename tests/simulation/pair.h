// Two peers and the links between them, everything drawn from one seed.
#pragma once

#include <memory>
#include <string>

#include "peer.h"
#include "port/sim/swarm.h"
#include "wire_monitor.h"

namespace paste::simulation {

struct PairOptions {
  sim::LinkOptions to_server;
  sim::LinkOptions to_client;
  PeerOptions client;
  PeerOptions server;
};

// Every choice is drawn from the seed: links, algorithms, options agreed on, sizes, readers.
[[nodiscard]] PairOptions random_pair(uint64_t seed);

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
  [[nodiscard]] std::string verdict() const;

  sim::World world_;
  PairOptions options_;
  sim::Link to_server_;
  sim::Link to_client_;
  Peer client_;
  Peer server_;
  WireMonitor monitor_;
};

}  // namespace paste::simulation
