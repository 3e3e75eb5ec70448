// A port: where packets enter and leave. One call of poll() receives, runs the protocol and
// transmits, in the program's own thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "paste/endpoint.h"
#include "paste/event.h"
#include "paste/framing.h"
#include "paste/pool.h"
#include "paste/result.h"
#include "paste/slot.h"
#include "paste/units.h"

namespace paste {

namespace port {
class Driver;
}

// One message of one connection: the ranges of the buffers it arrived in.
// Valid until the port's next poll().
struct Message {
  ConnectionId connection;
  std::span<const Slice> slices;
  size_t length = 0;  // bytes in all
};

// Buffers kept beyond the batch they arrived in. Gives them back unless something took them over.
class Held {
 public:
  Held(Held&& other) noexcept;
  Held& operator=(Held&&) = delete;
  ~Held();
  [[nodiscard]] std::span<const Slice> slices() const noexcept { return slices_; }

 private:
  friend class Log;
  friend class Port;
  Held(void* core, std::span<const Slice> slices) noexcept : core_(core), slices_(slices) {}
  void* core_;  // nullptr once taken over
  std::span<const Slice> slices_;
};

// Thread-safety: none but wake().
class Port {
 public:
  // `spec`: "kernel", or "xdp:INTERFACE": packets past the kernel, straight into the pool's
  // buffers; clients on this machine still come through the kernel. The pool must outlive the
  // port. Errors: unsupported, invalid, permission, not_found, in_use, with words.
  static Result<Port> open(std::string_view spec, Pool& pool, const PortOptions& options = {});
  Port(Port&&) noexcept;
  Port& operator=(Port&&) noexcept;
  ~Port();

  // Errors: in_use, permission, invalid, io — the sentence names the endpoint.
  Result<ListenerId> listen(const Endpoint& endpoint);
  [[nodiscard]] Endpoint local(ListenerId listener) const;
  // Ends with an event: opened, or closed with reason refused. Errors: too_large, invalid.
  Result<ConnectionId> connect(const Endpoint& endpoint);

  // Transmits what has become durable, receives, runs timers; waits for at most `timeout` if
  // nothing happened. Messages and slices of the batch before become invalid.
  // Errors: failed (the pool failed; connections with gated replies were reset), io.
  Result<void> poll(Duration timeout);
  [[nodiscard]] std::span<const Event> events() const;
  // Every complete message of every connection, framed by `framing`.
  [[nodiscard]] std::span<const Message> messages(Framing framing);

  // Keeps the message's buffers: for Log::append().
  [[nodiscard]] Held hold(const Message& message);

  // Queues a copy of `text`. It leaves when SendOptions::after is durable — by default the filling
  // ticket, so a reply never overtakes what it acknowledges. Replies of a connection stay in order.
  // Errors: closed, busy (too much queued: wait for `writable`).
  Result<void> send(ConnectionId connection, std::string_view text, const SendOptions& = {});
  // Queues the stored bytes themselves.
  Result<void> send(ConnectionId connection, std::span<const Slice> slices,
                    const SendOptions& = {});

  // The window closes until resume().
  void pause(ConnectionId connection);
  void resume(ConnectionId connection);
  Result<void> shutdown(ConnectionId connection);  // ends our direction after what is queued
  Result<void> close(ConnectionId connection);
  Result<void> abort(ConnectionId connection);  // with a reset

  TimerId add_timer(Duration delay, uint64_t cookie);
  void cancel_timer(TimerId timer);
  // Makes poll() return. Thread-safe and async-signal-safe.
  void wake() noexcept;
  [[nodiscard]] int fd() const;
  // Stops accepting, and runs until everything queued was sent, at most `grace`.
  Result<void> drain(Duration grace);

 private:
  friend Result<void> poll(std::span<Port* const> ports, Duration timeout);
  struct State;
  explicit Port(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

// One turn over several ports: waits for at most `timeout` until one of them has something.
Result<void> poll(std::span<Port* const> ports, Duration timeout);

}  // namespace paste
