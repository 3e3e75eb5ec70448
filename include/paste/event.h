// What happens at a port, and how a port is opened: the words of paste::Port and of its drivers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "paste/slot.h"
#include "paste/units.h"

namespace paste {

enum class Polling : uint8_t { busy, block, adaptive };
enum class Io : uint8_t { automatic, uring, epoll };

struct Limits {
  uint32_t connections_max = 20'000;           // beyond: accepted and closed at once, counted
  uint32_t receive_buffers = 4096;             // posted to the kernel; at most 1/4 of the pool
  uint32_t connection_receive_max = 1u << 20;  // unconsumed bytes before reading pauses by itself
  uint32_t connection_send_max = 4u << 20;     // queued bytes before send() says busy
  uint64_t send_max = 256u << 20;              // queued bytes of all connections
};

struct PortOptions {
  Io io = Io::automatic;
  Polling polling = Polling::block;
  Duration spin{50'000};  // adaptive: how long to spin before sleeping
  Limits limits = {};
  // xdp: the frames that come and go are written to this file and to pcap.2, in turn.
  std::string pcap = {};
  uint64_t pcap_bytes = 64 << 20;  // of both
};

using ListenerId = uint32_t;
using TimerId = uint64_t;

enum class EventType : uint8_t {
  opened,       // accepted, or connect() succeeded
  readable,     // received() grew
  peer_closed,  // the peer sends no more (half close); sending still works
  writable,     // queued() fell below half of connection_send_max after a busy
  closed,       // gone; the handle is dead after this batch of events. `reason` says why
  datagram,     // datagrams() is not empty
  timer,        // `cookie` is what add_timer() was given
};

enum class CloseReason : uint8_t {
  none,
  done,     // both directions ended in order
  local,    // abort() by the program
  reset,    // by the peer
  refused,  // connect() failed; os_error says how
  error,    // os_error says how
  failed,   // the pool failed while replies were gated
};

struct Event {
  EventType type;
  CloseReason reason = CloseReason::none;
  int os_error = 0;
  ListenerId listener = 0;  // of an accepted connection or datagram
  ConnectionId connection;
  uint64_t cookie = 0;
};

struct SendOptions {
  // The reply leaves when this ticket is durable. Nothing: the filling ticket.
  std::optional<Ticket> after = {};
};
// For bytes that acknowledge nothing, written out so that a reader sees it:
// port.send(c, text, {.after = paste::ungated}).
inline constexpr Ticket ungated{0};

}  // namespace paste
