// One end of a simulated connection: the engine's connection, buffers with counted holds, and a
// program that sends and checks a stream.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "port/sim/link.h"
#include "port/sim/nic.h"
#include "port/sim/world.h"
#include "tcp/connection.h"
#include "tcp/packet.h"

namespace paste::simulation {

struct PeerOptions {
  tcp::ConnectionOptions connection;
  uint32_t buffers = 512;
  uint64_t send_bytes = 0;           // then FIN
  uint32_t write_bytes = 8192;       // given to the connection at a time
  uint64_t queue_bytes = 256 << 10;  // not acknowledged, at most
  Duration read_every{0};            // 0: reads at once; else reads one buffer at a time, so often
  std::optional<sim::NicOptions> nic;  // between it and its link; else frames cross at once
  bool echo_fin = true;  // closes when it has sent everything and the peer has finished
  tcp::FourTuple tuple;
};

// The byte at `offset` of the stream of `salt`.
[[nodiscard]] constexpr std::byte pattern(uint64_t salt, uint64_t offset) noexcept {
  uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15 + salt;
  x ^= x >> 29;
  return static_cast<std::byte>(x * 0xbf58476d1ce4e5b9 >> 56);
}

// Invariant: every hold of a buffer is known: free, in the connection, or waiting to be read.
class Peer final : public sim::Actor, public sim::Endpoint, private tcp::Owner {
 public:
  static constexpr uint32_t kBufferSize = 2048;

  Peer(sim::World& world, std::string name, const PeerOptions& options, sim::Link& out);

  void connect();  // active open
  void listen() {
    listening_ = true;
    if (nic_) nic_->arm(*this);
  }

  // Where the other link ends.
  [[nodiscard]] sim::Endpoint& endpoint() noexcept {
    return nic_ ? static_cast<sim::Endpoint&>(*nic_) : *this;
  }
  void receive(sim::Frame frame) override;
  void act(tcp::Instant now) override;

  [[nodiscard]] const tcp::Connection* connection() const noexcept { return connection_.get(); }
  [[nodiscard]] bool finished() const noexcept;
  [[nodiscard]] uint64_t received() const noexcept { return received_; }
  [[nodiscard]] uint64_t sent() const noexcept { return produced_; }
  // What is wrong, or empty: wrong bytes, holds lost or given twice.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  // Holds that are not accounted for, once the connection is closed and everything was read.
  [[nodiscard]] uint32_t held_buffers() const noexcept;
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] uint64_t bad_frames() const noexcept { return bad_frames_; }
  // Frames that reached the host and not its TCP.
  [[nodiscard]] uint64_t not_taken() const noexcept {
    return no_buffer_ + (nic_ ? nic_->counters().rx_full : 0);
  }
  // Segments that its TCP did not keep.
  [[nodiscard]] uint64_t dropped() const noexcept;
  [[nodiscard]] uint64_t gathered() const noexcept { return gathered_; }
  [[nodiscard]] sim::Nic* nic() noexcept { return nic_.get(); }

 private:
  // A frame that the card was given, or will be: what it reads stays until it says so.
  struct Leaving {
    sim::Frame head;
    std::vector<Bytes> pieces;
    std::vector<BufferName> held;
  };
  void deliver(Slice slice) override;
  void release(BufferName buffer) override;
  void hold(BufferName buffer, uint32_t n) override;
  Slice gather(std::span<const Slice> pieces, uint32_t bytes) override;
  void acknowledged(Slice slice, uint64_t cookie) override;
  [[nodiscard]] uint32_t free_buffers() const override;
  [[nodiscard]] bool may_challenge(tcp::Instant now, tcp::ChallengeState& connection) override;

  [[nodiscard]] BufferName take(bool reserve);
  [[nodiscard]] std::byte* bytes(BufferName buffer) noexcept {
    return memory_.data() + size_t{buffer} * kBufferSize;
  }
  void run(tcp::Instant now);
  void produce();
  void read_one(tcp::Instant now);
  void transmit(const tcp::Outgoing& out);
  void arrive(sim::Frame frame, tcp::Instant now);
  void poll_card(tcp::Instant now);
  void feed_card();
  void complain(std::string what);

  sim::World& world_;
  std::string name_;
  PeerOptions options_;
  sim::Link& out_;
  tcp::Shared shared_;
  std::unique_ptr<tcp::Connection> connection_;
  tcp::ChallengeLimiter limiter_{1000};
  std::unique_ptr<sim::Nic> nic_;
  std::vector<Leaving> leaving_;  // by token
  std::vector<uint64_t> tokens_;  // free
  std::deque<uint64_t> waiting_;  // for room in the card's ring
  std::vector<std::byte> memory_;
  std::vector<uint32_t> holds_;
  std::vector<BufferName> free_;
  std::vector<Slice> unread_;
  size_t unread_head_ = 0;
  std::string problem_;
  uint64_t salt_out_;
  uint64_t salt_in_;
  uint64_t produced_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t received_ = 0;
  uint64_t bad_frames_ = 0;
  uint64_t no_buffer_ = 0;
  uint64_t gathered_ = 0;
  tcp::Instant read_at_ = tcp::kNever;
  bool listening_ = false;
  bool shut_ = false;
};

}  // namespace paste::simulation
