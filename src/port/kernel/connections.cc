// KernelDriver: the life of connections, and what they receive.
#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/time.h"
#include "port/kernel/kernel_driver.h"

namespace paste::port {
namespace {

// How long a closed connection is drained, so that what the peer was still sending does not reset
// it and destroy our last words on their way.
constexpr uint64_t kLingerNs = 1'000'000'000;

CloseReason reason_of(int os_error) {
  return os_error == ECONNRESET || os_error == EPIPE ? CloseReason::reset : CloseReason::error;
}

Unexpected gone() { return fail(Code::closed, "the connection is closed"); }

}  // namespace

Result<ConnectionId> KernelDriver::connect(const Endpoint& endpoint) {
  if (connections_.full()) {
    return fail(Code::too_large, "no more connections are allowed (connections_max)");
  }
  PASTE_TRY_ASSIGN(Dialled begun, dial(endpoint, blocking_));
  const uint32_t index = connections_.add(begun.fd.release(), Phase::connecting, 0);
  if (begun.os_error != 0 && begun.os_error != EINPROGRESS) {
    finish(index, CloseReason::refused, begun.os_error, pending_events_);
  } else {
    attach(index);
  }
  return connections_.id(index);
}

void KernelDriver::accepted(int fd, ListenerId from) {
  if (connections_.full()) {
    ++stats_.refused_limit;
    Descriptor(fd).reset();
    return;
  }
  const uint32_t index = connections_.add(fd, Phase::open, from);
  ++stats_.accepted;
  events_.push_back(
      {.type = EventType::opened, .listener = from, .connection = connections_.id(index)});
  attach(index);
}

void KernelDriver::dialled(uint32_t index) {
  Connection& c = connections_[index];
  if (c.phase != Phase::connecting) return;
  const int os_error = dial_result(c.fd);
  if (os_error != 0) return finish(index, CloseReason::refused, os_error, events_);
  c.phase = Phase::open;
  ++stats_.connected;
  events_.push_back({.type = EventType::opened, .connection = connections_.id(index)});
  touch(index);
}

Result<void> KernelDriver::shutdown(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed || c->closing) return gone();
  c->ending = true;
  touch(id.index);
  return {};
}

Result<void> KernelDriver::close(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed || c->closing) return gone();
  if (c->phase == Phase::connecting && c->output.empty()) {
    finish(id.index, CloseReason::local, 0, pending_events_);
    return {};
  }
  c->ending = true;
  c->closing = true;
  touch(id.index);
  return {};
}

Result<void> KernelDriver::abort(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed) return gone();
  reset_socket(c->fd);
  finish(id.index, CloseReason::local, 0, pending_events_);
  return {};
}

void KernelDriver::finish(uint32_t index, CloseReason reason, int os_error,
                          std::vector<Event>& events) {
  Connection& c = connections_[index];
  PASTE_CHECK(c.phase == Phase::connecting || c.phase == Phase::open);
  c.phase = Phase::closed;
  c.reason = reason;
  c.os_error = os_error;
  ++stats_.closed;
  events.push_back({.type = EventType::closed,
                    .reason = reason,
                    .os_error = os_error,
                    .listener = c.listener,
                    .connection = connections_.id(index)});
  dying_.push_back(index);
}

void KernelDriver::forget(uint32_t index) {
  Connection& c = connections_[index];
  PASTE_CHECK(c.phase == Phase::closed && c.torn && c.operations == 0);
  queued_ -= c.output.bytes();
  c.output.clear(stock_);
  drop_received(c);
  connections_.remove(index);
}

void KernelDriver::end_sending(uint32_t index) {
  Connection& c = connections_[index];
  if (c.closing) drop_received(c);
  if (!c.ending || c.write_ended || c.sending || !c.output.empty() || c.phase != Phase::open) {
    return;
  }
  c.write_ended = true;
  // ENOTCONN: the peer has reset it; reading tells.
  ::shutdown(c.fd, SHUT_WR);
  if (c.eof) return finish(index, CloseReason::done, 0, events_);
  if (c.closing) {
    lingering_.push({base::monotonic_ns() + kLingerNs, connections_.id(index)}, lingering_stock_);
  }
}

void KernelDriver::ended(uint32_t index) {
  Connection& c = connections_[index];
  if (c.phase != Phase::open || c.eof) return;
  c.eof = true;
  if (!c.closing) {
    events_.push_back({.type = EventType::peer_closed,
                       .listener = c.listener,
                       .connection = connections_.id(index)});
  }
  if (c.write_ended) finish(index, CloseReason::done, 0, events_);
}

void KernelDriver::broken(uint32_t index, int os_error) {
  Connection& c = connections_[index];
  if (c.phase == Phase::connecting) {
    return finish(index, CloseReason::refused, os_error, events_);
  }
  if (c.phase == Phase::open) finish(index, reason_of(os_error), os_error, events_);
}

std::string KernelDriver::peer(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  return c == nullptr ? std::string() : peer_text(c->fd);
}

// --- Receiving -------------------------------------------------------------------------------

void KernelDriver::arrived(uint32_t index, BufferName buffer, uint32_t length) {
  Connection& c = connections_[index];
  stats_.received_bytes += length;
  ++stats_.receives;
  if (c.phase != Phase::open || c.closing) [[unlikely]] {
    core_.release(buffer);
    return;
  }
  c.received.push({buffer, 0, static_cast<uint16_t>(length)}, received_stock_);
  c.received_bytes += length;
  if (c.readable_turn == turn_) return;
  c.readable_turn = turn_;
  events_.push_back(
      {.type = EventType::readable, .listener = c.listener, .connection = {index, c.generation}});
}

std::span<const Slice> KernelDriver::received(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  if (c == nullptr || c->closing) return {};
  return c->received.items();
}

void KernelDriver::consume(ConnectionId id, size_t bytes) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->closing || c->phase == Phase::closed) return;
  PASTE_CHECK(bytes <= c->received_bytes);
  const uint64_t max = options_.limits.connection_receive_max;
  if (c->received_bytes >= max && c->received_bytes - bytes < max) touch(id.index);
  c->received_bytes -= bytes;
  while (bytes > 0) {
    Slice& slice = c->received.front();
    const size_t cut = std::min<size_t>(bytes, slice.length);
    bytes -= cut;
    slice.offset = static_cast<uint16_t>(slice.offset + cut);
    slice.length = static_cast<uint16_t>(slice.length - cut);
    if (slice.length != 0) break;
    core_.release(slice.buffer);
    c->received.pop(received_stock_);
  }
}

void KernelDriver::drop_received(Connection& c) noexcept {
  for (const Slice slice : c.received.items()) core_.release(slice.buffer);
  c.received.clear(received_stock_);
  c.received_bytes = 0;
}

void KernelDriver::pause(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->paused) return;
  c->paused = true;
  touch(id.index);
}

void KernelDriver::resume(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || !c->paused) return;
  c->paused = false;
  touch(id.index);
}

std::span<const Datagram> KernelDriver::datagrams() const { return inbox_.datagrams(); }

// True if more may wait in the kernel, and there are buffers for it.
bool KernelDriver::receive_datagrams(ListenerId id) {
  constexpr uint32_t kCallsMax = 32;
  Listener& l = listener(id);
  if (l.stopped) return false;
  for (uint32_t i = 0; i < kCallsMax && l.can_read; ++i) {
    const uint64_t before = stats_.datagrams;
    const DatagramInbox::Found found = inbox_.receive(l.socket.fd.get(), id, stats_);
    if (stats_.datagrams != before && l.event_turn != turn_) {
      l.event_turn = turn_;
      events_.push_back({.type = EventType::datagram, .listener = id, .connection = {}});
    }
    if (found == DatagramInbox::Found::no_buffers) return false;
    l.can_read = found == DatagramInbox::Found::maybe_more;
  }
  return l.can_read;
}

bool KernelDriver::run_datagrams() {
  bool more = false;
  if (!any_datagrams_) return false;
  for (ListenerId id = 1; id <= listeners_.size(); ++id) {
    Listener& l = listener(id);
    if (l.transport != Transport::udp) continue;
    send_datagrams(id);
    if (l.can_read && receive_datagrams(id)) more = true;
  }
  return more;
}

}  // namespace paste::port
