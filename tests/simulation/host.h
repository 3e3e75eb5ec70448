// One simulated host: an engine with many connections, buffers, and a program that asks or answers.
//
// The client opens connections, each sends one request and reads an answer of the same bytes; the
// server echoes. Either side closes, as the options say.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "port/sim/link.h"
#include "port/sim/world.h"
#include "tcp/engine.h"

namespace paste::simulation {

struct HostOptions {
  tcp::EngineOptions engine;
  tcp::Address address{};
  uint32_t buffers = 2048;
  bool echo = false;         // the server
  uint32_t connections = 0;  // the client's, in all
  uint32_t at_once = 8;
  uint32_t request_max = 4000;  // bytes; drawn for each connection
  tcp::Address server{};
  uint16_t port = 9000;
  bool client_closes = true;  // first; else the server does when it has echoed everything asked for
};

class Host final : public sim::Actor, public sim::Endpoint, private tcp::EngineOwner {
 public:
  static constexpr uint32_t kBufferSize = 2048;

  Host(sim::World& world, std::string name, const HostOptions& options, sim::Link& out);

  void start();
  void receive(sim::Frame frame) override;
  void act(tcp::Instant now) override { run(now); }

  [[nodiscard]] const tcp::Engine& engine() const noexcept { return engine_; }
  [[nodiscard]] uint32_t answered() const noexcept { return answered_; }
  [[nodiscard]] uint32_t failed() const noexcept { return failed_; }
  [[nodiscard]] bool idle() const noexcept { return engine_.connections() == 0; }
  [[nodiscard]] uint32_t held_buffers() const noexcept {
    return options_.buffers - static_cast<uint32_t>(free_.size());
  }
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] std::string describe() const;

 private:
  struct Exchange {
    uint32_t wanted = 0;    // bytes of the request
    uint32_t produced = 0;  // given to the connection
    uint32_t received = 0;
    uint64_t salt = 0;
    bool finished = false;  // we have shut down
    bool peer_finished = false;
  };

  void opened(ConnectionId connection, uint32_t listener) override;
  void deliver(ConnectionId connection, Slice slice) override;
  void peer_finished(ConnectionId connection) override;
  void closed(ConnectionId connection, tcp::Ending ending) override;
  void acknowledged(ConnectionId connection, Slice slice, uint64_t cookie) override;
  void release(BufferName buffer) override;
  void hold(BufferName buffer, uint32_t n) override;
  Slice gather(std::span<const Slice> pieces, uint32_t bytes) override;
  [[nodiscard]] uint32_t free_buffers() const override {
    return static_cast<uint32_t>(free_.size());
  }
  [[nodiscard]] uint64_t draw() override { return prng_.next(); }

  void run(tcp::Instant now);
  void work(tcp::Instant now);
  void advance(ConnectionId id, Exchange& exchange);
  void connect_more(tcp::Instant now);
  [[nodiscard]] BufferName take(uint32_t reserve);
  void complain(std::string what);
  [[nodiscard]] std::byte* bytes(BufferName buffer) noexcept {
    return memory_.data() + size_t{buffer} * kBufferSize;
  }

  sim::World& world_;
  std::string name_;
  HostOptions options_;
  sim::Link& out_;
  sim::Prng prng_;
  std::vector<std::byte> memory_;
  std::vector<uint32_t> holds_;
  std::vector<BufferName> free_;
  tcp::Engine engine_;
  std::map<uint64_t, Exchange> exchanges_;  // by index and generation
  std::vector<std::pair<ConnectionId, Slice>> unread_;
  std::string problem_;
  uint32_t begun_ = 0;
  uint32_t answered_ = 0;
  uint32_t failed_ = 0;
};

}  // namespace paste::simulation
