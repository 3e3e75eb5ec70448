// A port driver: where packets enter and leave. One interface for every kind of port; the kernel's
// sockets are behind it in two ways (io_uring, epoll) with the same semantics.
//
// One turn of the program's loop:
//   driver.poll(timeout)       transmit what became durable, receive, timers
//   driver.events()            what happened
//   received()/consume()       the bytes, in the pool's buffers, where the kernel put them
//   send()                     replies, queued until their ticket is durable
//   core.commit()              one barrier for the whole turn
//
// The gate (the promise of docs/architecture.md): bytes given to send() leave the machine only
// when ticket `after` is durable, and in order within a connection. If the pool fails, gated
// connections are aborted (their clients see a reset, never a success) and poll() returns
// Code::failed.
//
// Invariants
//  1. A received buffer has one hold of the driver's from arrival until all its bytes are consumed.
//  2. A sent slice has one hold of the driver's from send() until the kernel has copied it.
//  3. Per connection: at most one send outstanding; queued bytes are bounded (SendOptions, Limits).
//
// Thread-safety: none but wake().
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paste/endpoint.h"
#include "paste/event.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "paste/units.h"
#include "pool/core.h"

namespace paste::port {

using paste::CloseReason;
using paste::Event;
using paste::EventType;
using paste::Io;
using paste::Limits;
using paste::ListenerId;
using paste::Polling;
using paste::SendOptions;
using paste::TimerId;
using DriverOptions = paste::PortOptions;
// For bytes that acknowledge nothing.
inline constexpr Ticket kUngated = paste::ungated;

struct Datagram {
  ListenerId listener;
  std::span<const Slice> slices;  // whole, never cut; the driver's hold ends at the next poll()
  sockaddr_storage peer;
  uint32_t peer_length;
};

// One counter of a port's own, for people and /metrics.
struct NamedCount {
  std::string name;    // "frames_in"
  std::string labels;  // "cpu=\"1\"", or empty
  uint64_t value = 0;
};

struct DriverStats {
  uint64_t accepted = 0, connected = 0, closed = 0, refused_limit = 0, accept_errors = 0;
  uint64_t received_bytes = 0, sent_bytes = 0, receives = 0, sends = 0;
  uint64_t datagrams = 0;
  uint64_t receive_buffers_exhausted = 0;  // the kernel found no posted buffer
  uint64_t completions_overflowed = 0;
  uint64_t connections = 0;  // now
  uint64_t send_queued = 0;  // bytes, now
  uint64_t gated = 0;        // connections waiting for a ticket, now
  uint64_t polls = 0, sleeps = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // --- Opening and closing ------------------------------------------------------------------
  // Several listeners may exist. Errors: in_use, permission, invalid, unsupported, io — the
  // sentence names the endpoint.
  virtual Result<ListenerId> listen(const Endpoint& endpoint) = 0;
  // The address really bound (port 0 resolved).
  [[nodiscard]] virtual Endpoint local(ListenerId listener) const = 0;
  // Ends with `opened`, or `closed` with reason refused. Errors: too_large (connections_max),
  // invalid.
  virtual Result<ConnectionId> connect(const Endpoint& endpoint) = 0;
  // Stops accepting; existing connections go on.
  virtual void stop_listening() = 0;
  // After everything queued was sent: ends our direction (FIN). Receiving goes on.
  virtual Result<void> shutdown(ConnectionId connection) = 0;
  // As shutdown, then closes fully; what still arrives is dropped. Holds are given back.
  virtual Result<void> close(ConnectionId connection) = 0;
  // Now, with a reset where the transport has one.
  virtual Result<void> abort(ConnectionId connection) = 0;

  // --- The turn -----------------------------------------------------------------------------
  // Transmits what is durable, then receives. Waits for at most `timeout` (0: not at all;
  // negative: without limit) if nothing has happened, in the way of DriverOptions::polling.
  // Replaces events(). Errors: failed (the pool failed: end the program), io.
  virtual Result<void> poll(Duration timeout) = 0;
  [[nodiscard]] virtual std::span<const Event> events() const = 0;

  // --- Receiving ----------------------------------------------------------------------------
  // All unconsumed bytes of a stream, oldest first; valid until consume() or poll().
  [[nodiscard]] virtual std::span<const Slice> received(ConnectionId connection) const = 0;
  // Drops `bytes` from the front, giving back the driver's hold of every buffer passed. To keep
  // bytes, Core::hold() their buffers first. REQUIRES: bytes <= total of received().
  virtual void consume(ConnectionId connection, size_t bytes) = 0;
  // Until resume(), no new bytes are taken from the kernel (its window closes) beyond those
  // already under way.
  virtual void pause(ConnectionId connection) = 0;
  virtual void resume(ConnectionId connection) = 0;
  [[nodiscard]] virtual std::span<const Datagram> datagrams() const = 0;

  // --- Sending ------------------------------------------------------------------------------
  // Queues a copy of the bytes. Errors: closed, busy (a bound of Limits: wait for `writable`).
  virtual Result<void> send(ConnectionId connection, Bytes bytes, const SendOptions& = {}) = 0;
  // Queues the very bytes of pool buffers; the driver takes its own holds.
  virtual Result<void> send(ConnectionId connection, std::span<const Slice> slices,
                            const SendOptions& = {}) = 0;
  virtual Result<void> send_datagram(ListenerId listener, const sockaddr_storage& peer,
                                     uint32_t peer_length, Bytes bytes,
                                     const SendOptions& = {}) = 0;
  [[nodiscard]] virtual uint64_t queued(ConnectionId connection) const = 0;
  [[nodiscard]] virtual bool idle() const = 0;  // nothing queued or being sent anywhere

  // "203.0.113.7:50412"; empty if the handle is dead. For logs, not for the data path.
  [[nodiscard]] virtual std::string peer(ConnectionId connection) const = 0;

  // --- Time and wake-ups ----------------------------------------------------------------------
  // One `timer` event with `cookie` after `delay`. Timers are few (housekeeping), not per request.
  virtual TimerId add_timer(Duration delay, uint64_t cookie) = 0;
  virtual void cancel_timer(TimerId timer) = 0;
  // Makes a poll() in progress, or the next one, return. Thread-safe and async-signal-safe.
  virtual void wake() noexcept = 0;
  // Readable when poll(0) would find something.
  [[nodiscard]] virtual int fd() const = 0;

  [[nodiscard]] virtual const DriverStats& stats() const = 0;
  // What only this kind of port counts, and what the kernel counts about it. May ask the kernel.
  [[nodiscard]] virtual std::vector<NamedCount> counts() const { return {}; }
  // "kernel (io_uring)", "kernel (epoll)".
  [[nodiscard]] virtual std::string description() const = 0;

 protected:
  Driver() = default;
};

// `spec`: "kernel", "xdp:IFACE[:QUEUE][:copy][:scatter]". The core must outlive the driver.
// Errors: unsupported with the reason (Io::uring asked for where the kernel forbids it), invalid.
[[nodiscard]] Result<std::unique_ptr<Driver>> open_driver(std::string_view spec, pool::Core& core,
                                                          const DriverOptions& options = {});

// One turn over several drivers: poll(0) each; if none had events, sleeps until one has, at most
// `timeout`. Errors: the first driver's that failed.
[[nodiscard]] Result<void> poll_all(std::span<Driver* const> drivers, Duration timeout);

// Why io_uring cannot be used here, in words; empty if it can. For `pst doctor`.
[[nodiscard]] std::string uring_unavailable_reason();

}  // namespace paste::port
