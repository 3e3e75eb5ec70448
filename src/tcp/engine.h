// All connections of one host on one thread: lookup, listening, half-open connections, TIME-WAIT,
// timers, resets. Sans-IO, as Connection is: arrive(), dispatch(), next_deadline().
//
// What a peer can make it remember is bounded: connections, half-open connections (then SYN
// cookies, RFC 4987 §3.6), TIME-WAIT entries (then the oldest goes), resets waiting to leave.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "tcp/connection.h"
#include "tcp/engine_options.h"
#include "tcp/growing_ring.h"
#include "tcp/icmp_error.h"
#include "tcp/packet.h"
#include "tcp/ports.h"
#include "tcp/syn_queue.h"
#include "tcp/time_wait.h"
#include "tcp/timer_wheel.h"

namespace paste::tcp {

class Engine final : private Owner {
 public:
  Engine(const EngineOptions& options, const EngineKeys& keys, EngineOwner& owner, Instant now);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Accepts connections to `port` of `local`, or of any local address if that is all zeros;
  // `listener` comes back with opened(). RFC 9293 MUST-42: several addresses may have one port.
  // Error: in_use.
  Result<> listen(uint16_t port, uint32_t listener, const Address& local = {});
  // Half-open connections of the port are forgotten, open ones stay.
  void stop_listening(uint16_t port, const Address& local = {});
  // Begins a connection from `local` with a port of the engine's choice.
  // Errors: busy (connections or ports), invalid (not of one version of IP, or no address of one
  // host).
  Result<ConnectionId> connect(const Address& local, const Address& remote, uint16_t remote_port,
                               Instant now);

  // Takes over the hold of packet.segment.payload, if there is one.
  void arrive(const Packet& packet, Instant now);
  // An ICMP error about a segment of ours (parse_icmp_error).
  void icmp(const IcmpError& error, Instant now);
  // Gives at most one packet to send; false if there is none now.
  [[nodiscard]] bool dispatch(Instant now, FourTuple& tuple, Outgoing& out);
  [[nodiscard]] Instant next_deadline(Instant now) const noexcept;

  // As those of Connection. Error besides: closed, for a handle that is void.
  Result<> write(ConnectionId connection, Slice slice, uint64_t cookie);
  Result<> consumed(ConnectionId connection, Instant now, uint32_t bytes, uint32_t buffers);
  Result<> set_keep_alive(ConnectionId connection, bool on, Instant now);
  Result<> set_dscp(ConnectionId connection, uint8_t dscp);
  Result<> set_nagle(ConnectionId connection, bool on);
  // What was written so far is urgent (RFC 9293 §3.8.5).
  Result<> mark_urgent(ConnectionId connection);
  Result<> shutdown(ConnectionId connection);
  Result<> close(ConnectionId connection);
  Result<> abort(ConnectionId connection);

  // nullptr if the handle is void.
  [[nodiscard]] const Connection* find(ConnectionId connection) const noexcept;
  [[nodiscard]] const FourTuple* tuple(ConnectionId connection) const noexcept;
  [[nodiscard]] size_t connections() const noexcept { return by_tuple_.size(); }
  [[nodiscard]] size_t half_open() const noexcept { return half_open_.size(); }
  [[nodiscard]] size_t in_time_wait() const noexcept { return time_wait_.size(); }
  [[nodiscard]] const EngineCounters& counters() const noexcept { return counters_; }

 private:
  struct Place {
    std::optional<Connection> connection;
    FourTuple tuple;
    uint32_t generation = 1;
    uint32_t listener = 0;
    bool told_open = false;
    bool told_finished = false;
    bool in_work = false;
  };
  static constexpr uint32_t kChunk = 1024;
  // The table holds the places' numbers only: the tuples lie in the places.
  struct PlaceHash {
    using is_transparent = void;
    const Engine* engine;
    [[nodiscard]] size_t operator()(const FourTuple& t) const noexcept {
      return TupleHash{engine->keys_.table}(t);
    }
    [[nodiscard]] size_t operator()(uint32_t index) const noexcept {
      return (*this)(engine->place(index).tuple);
    }
  };
  struct PlaceEqual {
    using is_transparent = void;
    const Engine* engine;
    [[nodiscard]] bool operator()(uint32_t a, uint32_t b) const noexcept { return a == b; }
    [[nodiscard]] bool operator()(uint32_t a, const FourTuple& b) const noexcept {
      return engine->place(a).tuple == b;
    }
    [[nodiscard]] bool operator()(const FourTuple& a, uint32_t b) const noexcept {
      return engine->place(b).tuple == a;
    }
  };
  static constexpr Duration kCookieLife = std::chrono::seconds(128);
  struct Reply {
    FourTuple tuple;
    Segment segment;
  };

  // Owner, of the connection that runs now.
  void deliver(Slice slice) override;
  void release(BufferName buffer) override { owner_.release(buffer); }
  void hold(BufferName buffer, uint32_t n) override { owner_.hold(buffer, n); }
  Slice gather(std::span<const Slice> pieces, uint32_t bytes) override {
    return owner_.gather(pieces, bytes);
  }
  void urgent(uint32_t bytes) override { owner_.urgent(id_of(running_), bytes); }
  void soft_error(SoftError error) override { owner_.soft_error(id_of(running_), error); }
  void acknowledged(Slice slice, uint64_t cookie) override;
  [[nodiscard]] uint32_t free_buffers() const override { return owner_.free_buffers(); }
  [[nodiscard]] bool may_challenge(Instant now, ChallengeState& connection) override;

  // Arrival (engine_arrival.cc).
  void arrive_without_connection(const Packet& packet, Instant now);
  [[nodiscard]] bool arrive_in_time_wait(const Packet& packet, Instant now);
  void arrive_half_open(const Packet& packet, const SynEntry& entry, Instant now);
  void acknowledge_half_open(const SynEntry& entry, Instant now);
  void arrive_syn(const Packet& packet, uint32_t listener, Instant now);
  void arrive_ack(const Packet& packet, uint32_t listener, Instant now);
  void accept(const Packet& packet, const SynEntry& entry, Instant now);
  void send_cookie(const Packet& packet, const SynEntry& entry, Instant now);
  [[nodiscard]] Outgoing syn_ack(const SynEntry& entry, Instant now) const noexcept;
  [[nodiscard]] SynEntry entry_of(const Packet& packet, uint32_t listener, Instant now) const;
  void refuse(const Packet& packet);
  [[nodiscard]] std::optional<uint32_t> listener_of(const FourTuple& tuple) const;
  void queue_reply(const FourTuple& tuple, const Segment& segment);
  void drop_payload(const Packet& packet);

  [[nodiscard]] bool place_free() const noexcept {
    return !free_places_.empty() || places_made_ < options_.connections_max;
  }
  [[nodiscard]] std::optional<uint32_t> take_place();
  void settle(uint32_t index, Instant now);
  void give_back(uint32_t index, Ending ending);
  void touch(uint32_t index) {
    Place& here = place(index);
    if (here.in_work) return;
    here.in_work = true;
    work_.push_back(index);
  }
  void leave_work() noexcept {
    place(work_.front()).in_work = false;
    work_.pop_front();
  }
  [[nodiscard]] Place* lookup(ConnectionId connection) noexcept;
  template <typename Call>
  Result<> with(ConnectionId connection, Call&& call);
  [[nodiscard]] Place& place(uint32_t index) const noexcept {
    return chunks_[index / kChunk][index % kChunk];
  }
  [[nodiscard]] ConnectionId id_of(uint32_t index) const noexcept {
    return {index, place(index).generation};
  }

  EngineOptions options_;
  EngineKeys keys_;
  EngineOwner& owner_;
  EngineCounters counters_;
  Shared shared_;
  std::vector<std::unique_ptr<Place[]>> chunks_;  // a place never moves
  uint32_t places_made_ = 0;
  std::vector<uint32_t> free_places_;
  absl::flat_hash_set<uint32_t, PlaceHash, PlaceEqual> by_tuple_;
  std::map<std::pair<uint16_t, Address>, uint32_t> listeners_;
  SynQueue half_open_;
  TimeWait time_wait_;
  TimerWheel timers_;
  ChallengeLimiter challenges_;
  Ports ports_;
  GrowingRing<Reply> replies_;  // resets, SYN-ACKs, acknowledgements of TIME-WAIT
  GrowingRing<uint32_t> work_;  // connections that may have something to send
  Instant last_cookie_ = kNever;
  uint32_t running_ = 0;  // whose callbacks come now
};

}  // namespace paste::tcp
