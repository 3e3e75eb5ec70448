// What an engine is made with, what it needs of its owner, and what it counts.
#pragma once

#include <cstdint>

#include "paste/slot.h"
#include "tcp/connection_options.h"
#include "tcp/ports.h"
#include "tcp/siphash.h"

namespace paste::tcp {

struct EngineOptions {
  ConnectionOptions connection;
  uint32_t connections_max = 16384;
  // Connections with data in flight or waiting, at a time; as many may have gaps in what they
  // received. 0: every connection, but at most 65536.
  uint32_t in_flight_max = 0;
  uint32_t half_open_max = 4096;
  uint32_t time_wait_max = 16384;
  uint32_t resets_max = 256;  // waiting to leave; more are dropped and counted
  uint32_t challenges_per_second = 1000;
  PortRange ports;
};

// Secret and random, new at each start.
struct EngineKeys {
  SipKey isn, timestamps, cookies, table, ports, port_groups;
};

// What the engine needs, and whom it tells. No callback may call the engine.
class EngineOwner {
 public:
  // A connection was accepted, or one that connect() began is open.
  virtual void opened(ConnectionId connection, uint32_t listener) = 0;
  // In-order bytes; the hold is the callee's.
  virtual void deliver(ConnectionId connection, Slice slice) = 0;
  virtual void peer_finished(ConnectionId connection) = 0;
  // RFC 9293 §3.8.5 (MUST-32): the peer says that the next `bytes` bytes to be read, or so many
  // more than thought, are urgent. What that means is the program's business.
  virtual void urgent(ConnectionId, uint32_t /*bytes*/) {}
  // RFC 9293 MUST-47: something that may pass; the connection goes on.
  virtual void soft_error(ConnectionId, SoftError) {}
  // The handle is void from now on.
  virtual void closed(ConnectionId connection, Ending ending) = 0;
  virtual void acknowledged(ConnectionId connection, Slice slice, uint64_t cookie) = 0;
  virtual void release(BufferName buffer) = 0;
  virtual void hold(BufferName buffer, uint32_t n) = 0;
  // As Owner::gather(): tiny segments that wait for a gap to be filled share a buffer.
  virtual Slice gather(std::span<const Slice> /*pieces*/, uint32_t /*bytes*/) { return {}; }
  [[nodiscard]] virtual uint32_t free_buffers() const = 0;
  // A fresh random number.
  [[nodiscard]] virtual uint64_t draw() = 0;

 protected:
  ~EngineOwner() = default;
};

struct EngineCounters {
  uint64_t segments_in = 0, segments_out = 0;
  uint64_t opened = 0, accepted = 0, cookies_sent = 0, cookies_taken = 0, cookies_bad = 0;
  uint64_t refused = 0;           // segments that no connection or listener wanted
  uint64_t connections_full = 0;  // handshakes that found no room
  uint64_t resets_dropped = 0;    // more than resets_max were waiting
  uint64_t half_open_given_up = 0;
  uint64_t icmp_taken = 0, icmp_ignored = 0;  // ignored: of no connection, or not to be believed
};

}  // namespace paste::tcp
