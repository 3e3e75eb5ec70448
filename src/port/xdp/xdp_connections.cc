// XdpDriver: the life of connections, what they receive, and the queues in front of the engine.
#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/random.h"
#include "base/time.h"
#include "port/xdp/route.h"
#include "port/xdp/xdp_driver.h"

namespace paste::port {
namespace {

// As the kernel port: how long a closed connection is drained.
constexpr uint64_t kLingerNs = 1'000'000'000;
// Ports tried until one is found that no other program has.
constexpr int kPortTries = 64;

Unexpected gone() { return fail(Code::closed, "the connection is closed"); }
Unexpected too_much() {
  return fail(Code::busy, "too much is queued to be sent: wait until it is writable");
}

CloseReason reason_of(tcp::Ending ending) {
  switch (ending) {
    case tcp::Ending::orderly:
      return CloseReason::done;
    case tcp::Ending::reset:
      return CloseReason::reset;
    case tcp::Ending::refused:
      return CloseReason::refused;
    case tcp::Ending::aborted:
      return CloseReason::local;
    case tcp::Ending::timed_out:
    case tcp::Ending::none:
      break;
  }
  return CloseReason::error;
}

}  // namespace

uint32_t XdpDriver::above(ConnectionId below) const noexcept {
  if (below.index >= above_.size()) return kNone;
  const uint32_t index = above_[below.index];
  return index != kNone && connections_[index].below == below ? index : kNone;
}

void XdpDriver::bind_above(ConnectionId below, uint32_t index) {
  if (below.index >= above_.size()) above_.resize(below.index + 1, kNone);
  above_[below.index] = index;
  connections_[index].below = below;
}

void XdpDriver::touch(uint32_t index) {
  Connection& c = connections_[index];
  if (c.in_work) return;
  c.in_work = true;
  work_.push_back(index);
}

// --- What the engine tells -----------------------------------------------------------------------

void XdpDriver::opened(ConnectionId below, uint32_t listener) {
  uint32_t index = above(below);
  if (index != kNone) {  // one that connect() began
    if (connections_[index].phase != Phase::connecting) return;
    connections_[index].phase = Phase::open;
    ++stats_.connected;
  } else if (connections_.full()) {
    ++stats_.refused_limit;
    unwanted_.push_back(below);  // reset when the engine may be called again
    return;
  } else {
    index = connections_.add(-1, Phase::open, listener);
    bind_above(below, index);
    ++stats_.accepted;
  }
  events_.push_back({.type = EventType::opened,
                     .listener = connections_[index].listener,
                     .connection = connections_.id(index)});
  touch(index);
}

void XdpDriver::deliver(ConnectionId below, Slice slice) {
  const uint32_t index = above(below);
  stats_.received_bytes += slice.length;
  if (index == kNone || connections_[index].phase != Phase::open) {
    return core_.release(slice.buffer);
  }
  Connection& c = connections_[index];
  c.received.push(slice, received_stock_);
  c.received_bytes += slice.length;
  if (c.closing) return touch(index);  // nobody reads it: feed() drops it
  if (c.readable_turn == turn_) return;
  c.readable_turn = turn_;
  events_.push_back(
      {.type = EventType::readable, .listener = c.listener, .connection = connections_.id(index)});
}

void XdpDriver::peer_finished(ConnectionId below) {
  const uint32_t index = above(below);
  if (index == kNone) return;
  Connection& c = connections_[index];
  if (c.phase != Phase::open || c.eof) return;
  c.eof = true;
  if (c.closing) return;
  events_.push_back({.type = EventType::peer_closed,
                     .listener = c.listener,
                     .connection = connections_.id(index)});
}

void XdpDriver::closed(ConnectionId below, tcp::Ending ending) {
  const uint32_t index = above(below);
  if (index == kNone) return;
  above_[below.index] = kNone;
  Connection& c = connections_[index];
  c.below = {};
  if (c.phase != Phase::open && c.phase != Phase::connecting) return;
  int os_error = 0;
  if (ending == tcp::Ending::refused) os_error = ECONNREFUSED;
  if (ending == tcp::Ending::timed_out) os_error = ETIMEDOUT;
  if (ending == tcp::Ending::reset) os_error = ECONNRESET;
  const bool refused = c.phase == Phase::connecting;
  finish(index, refused ? CloseReason::refused : reason_of(ending), os_error, events_);
}

void XdpDriver::acknowledged(ConnectionId below, Slice slice, uint64_t) {
  core_.release(slice.buffer);
  const uint32_t index = above(below);
  if (index == kNone) return;
  Connection& c = connections_[index];
  c.in_flight -= slice.length;
  queued_ -= slice.length;
  if (!c.output.empty()) touch(index);
}

void XdpDriver::hold(BufferName buffer, uint32_t n) {
  for (; n > 0; --n) core_.hold(buffer);
}

Slice XdpDriver::gather(std::span<const Slice> pieces, uint32_t bytes) {
  const auto taken = core_.take(pool::Purpose::receive);
  if (!taken) return {};
  std::byte* to = core_.buffer(*taken);
  for (const Slice piece : pieces) {
    std::memcpy(to, core_.buffer(piece.buffer) + piece.offset, piece.length);
    to += piece.length;
    core_.release(piece.buffer);
  }
  return {*taken, 0, static_cast<uint16_t>(bytes)};
}

uint64_t XdpDriver::draw() {
  if (random_.empty()) {
    random_.resize(64);
    base::fill_random(random_);
  }
  const uint64_t drawn = random_.back();
  random_.pop_back();
  return drawn;
}

// --- What the program asks for -------------------------------------------------------------------

Result<ConnectionId> XdpDriver::connect(const Endpoint& endpoint) {
  PASTE_TRY_ASSIGN(const tcp::Address to, parse_address(endpoint.host));
  PASTE_TRY_ASSIGN(const Route route, find_route(to));
  if (route.local || route.ifindex != interface_.index || !interface_.has(route.source)) {
    return fail(Code::unsupported, to_string(endpoint) + " is not reached by " + interface_.name);
  }
  if (connections_.full()) {
    return fail(Code::too_large, "no more connections are allowed (connections_max)");
  }
  if (neighbours_.find(to) == nullptr) {
    PASTE_TRY_ASSIGN(const auto mac, find_neighbour(route.ifindex, route.next_hop));
    neighbours_.learn(to, mac);
  }
  const tcp::Instant now{base::monotonic_ns()};
  PASTE_TRY_ASSIGN(ConnectionId below, engine_->connect(route.source, to, endpoint.port, now));
  uint16_t port = engine_->tuple(below)->local_port;
  for (int tries = 0; !dialled_.keep(port, route.source, *steering_); ++tries) {
    (void)engine_->abort(below);
    if (tries == kPortTries) return fail(Code::busy, "other programs have the ports in use");
    PASTE_TRY_ASSIGN(below, engine_->connect(route.source, to, endpoint.port, now));
    port = engine_->tuple(below)->local_port;
  }
  const uint32_t index = connections_.add(-1, Phase::connecting, 0);
  bind_above(below, index);
  connections_[index].dialled_port = port;
  return connections_.id(index);
}

Result<void> XdpDriver::shutdown(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed || c->closing) return gone();
  c->ending = true;
  touch(id.index);
  return {};
}

Result<void> XdpDriver::close(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed || c->closing) return gone();
  c->ending = c->closing = true;
  touch(id.index);
  return {};
}

Result<void> XdpDriver::abort(ConnectionId id) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->phase == Phase::closed) return gone();
  finish(id.index, CloseReason::local, 0, pending_events_);
  return {};
}

// Whatever the engine still does for it, the program hears no more of it.
void XdpDriver::finish(uint32_t index, CloseReason reason, int os_error,
                       std::vector<Event>& events) {
  Connection& c = connections_[index];
  PASTE_CHECK(c.phase == Phase::connecting || c.phase == Phase::open);
  c.phase = Phase::closed;
  c.reason = reason;
  ++stats_.closed;
  events.push_back({.type = EventType::closed,
                    .reason = reason,
                    .os_error = os_error,
                    .listener = c.listener,
                    .connection = connections_.id(index)});
  dying_.push_back(index);
}

std::string XdpDriver::peer(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  const tcp::FourTuple* tuple = c == nullptr ? nullptr : engine_->tuple(c->below);
  if (tuple == nullptr) return {};
  char text[INET6_ADDRSTRLEN];
  const bool v4 = tcp::is_v4(tuple->remote);
  ::inet_ntop(v4 ? AF_INET : AF_INET6, tuple->remote.data() + (v4 ? 12 : 0), text, sizeof text);
  return to_string(Endpoint{.host = text, .port = tuple->remote_port});
}

// --- Receiving -----------------------------------------------------------------------------------

std::span<const Slice> XdpDriver::received(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  if (c == nullptr || c->closing) return {};
  return c->received.items();
}

void XdpDriver::consume(ConnectionId id, size_t bytes) {
  Connection* c = connections_.find(id);
  if (c == nullptr || c->closing || c->phase == Phase::closed) return;
  PASTE_CHECK(bytes <= c->received_bytes);
  c->received_bytes -= bytes;
  const auto total = static_cast<uint32_t>(bytes);
  uint32_t buffers = 0;
  while (bytes > 0) {
    Slice& slice = c->received.front();
    const size_t cut = std::min<size_t>(bytes, slice.length);
    bytes -= cut;
    slice.offset = static_cast<uint16_t>(slice.offset + cut);
    slice.length = static_cast<uint16_t>(slice.length - cut);
    if (slice.length != 0) break;
    core_.release(slice.buffer);
    c->received.pop(received_stock_);
    ++buffers;
  }
  (void)engine_->consumed(c->below, tcp::Instant{base::monotonic_ns()}, total, buffers);
}

void XdpDriver::drop_received(Connection& c) noexcept {
  for (const Slice slice : c.received.items()) core_.release(slice.buffer);
  c.received.clear(received_stock_);
  c.received_bytes = 0;
}

// --- Sending -------------------------------------------------------------------------------------

Connection* XdpDriver::sendable(ConnectionId id) noexcept {
  Connection* c = connections_.find(id);
  return c != nullptr && !c->ending && c->phase == Phase::open ? c : nullptr;
}

bool XdpDriver::admit(Connection& c, uint32_t index, uint64_t bytes) {
  const Limits& limits = options_.limits;
  const uint64_t there = c.output.bytes() + c.in_flight;
  const bool fits = there == 0 || there + bytes <= limits.connection_send_max;
  if (fits && (queued_ == 0 || queued_ + bytes <= limits.send_max)) return true;
  if (!c.in_blocked) {
    c.in_blocked = true;
    blocked_.push_back(index);
  }
  return false;
}

void XdpDriver::enqueued(Connection& c, uint32_t index, uint64_t bytes) {
  queued_ += bytes;
  if (c.in_work || c.in_gated) return;
  if (c.output.head_ticket() > core_.durable()) {
    c.in_gated = true;
    gated_.push_back(index);
  } else {
    touch(index);
  }
}

// Room for some of the bytes in a buffer of ours, copied there; nothing if the pool has none.
std::optional<Slice> XdpDriver::stage(Bytes bytes) {
  if (staging_.length == core_.buffer_size() || staging_.buffer == kNoBuffer) {
    const auto taken = core_.take(pool::Purpose::receive);
    if (!taken) return std::nullopt;
    if (staging_.buffer != kNoBuffer) core_.release(staging_.buffer);
    staging_ = {*taken, 0, 0};
  }
  const auto n =
      static_cast<uint16_t>(std::min<size_t>(bytes.size(), core_.buffer_size() - staging_.length));
  const Slice staged{staging_.buffer, staging_.length, n};
  std::memcpy(core_.buffer(staged.buffer) + staged.offset, bytes.data(), n);
  staging_.length = static_cast<uint16_t>(staging_.length + n);
  return staged;
}

Result<void> XdpDriver::send(ConnectionId id, Bytes bytes, const SendOptions& how) {
  Connection* c = sendable(id);
  if (c == nullptr) return fail(Code::closed, "the connection is closed for sending");
  if (bytes.empty()) return {};
  if (!admit(*c, id.index, bytes.size())) return too_much();
  const Ticket after = ticket_of(how);
  if (bytes.size() > core_.buffer_size() / 2 &&
      core_.stats().buffers_free < 2 + bytes.size() / core_.buffer_size()) {
    return fail(Code::busy, "the pool has no room for what is to be sent");
  }
  uint64_t queued = 0;
  while (!bytes.empty()) {
    const auto staged = stage(bytes);
    if (!staged) {
      if (queued != 0) enqueued(*c, id.index, queued);
      // A part of a reply is no reply.
      if (queued != 0) (void)abort(id);
      return fail(Code::busy, "the pool has no room for what is to be sent");
    }
    c->output.append(*staged, after, stock_);
    queued += staged->length;
    bytes = bytes.subspan(staged->length);
  }
  enqueued(*c, id.index, queued);
  return {};
}

Result<void> XdpDriver::send(ConnectionId id, std::span<const Slice> slices,
                             const SendOptions& how) {
  Connection* c = sendable(id);
  if (c == nullptr) return fail(Code::closed, "the connection is closed for sending");
  uint64_t total = 0;
  for (const Slice slice : slices) {
    PASTE_CHECK(core_.valid(slice));
    total += slice.length;
  }
  if (total == 0) return {};
  if (!admit(*c, id.index, total)) return too_much();
  const Ticket after = ticket_of(how);
  for (const Slice slice : slices) {
    if (slice.length != 0) c->output.append(slice, after, stock_);
  }
  enqueued(*c, id.index, total);
  return {};
}

Result<void> XdpDriver::send_datagram(ListenerId listener, const sockaddr_storage& peer, uint32_t,
                                      Bytes bytes, const SendOptions& how) {
  Result<void> too_large = fail(Code::unsupported, "the datagram is for the kernel to send");
  if (bytes.size() > interface_.mtu) return too_large;
  auto staged = stage(bytes);
  if (staged && staged->length < bytes.size()) staged = stage(bytes);  // in a buffer of its own
  if (!staged) return fail(Code::busy, "the pool has no room for what is to be sent");
  core_.hold(staged->buffer);
  auto queued = datagrams_.reply(listener, peer, *staged, ticket_of(how), interface_.mtu);
  if (!queued) core_.release(staged->buffer);
  return queued;
}

uint64_t XdpDriver::queued(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  return c == nullptr ? 0 : c->output.bytes() + c->in_flight;
}

// The engine may send from now on what it is given here: only what is durable.
void XdpDriver::feed(uint32_t index) {
  Connection& c = connections_[index];
  c.in_work = false;
  if (c.phase != Phase::open) return;
  if (c.closing && c.received_bytes != 0) {
    const auto bytes = static_cast<uint32_t>(c.received_bytes);
    const auto buffers = static_cast<uint32_t>(c.received.size());
    drop_received(c);
    (void)engine_->consumed(c.below, tcp::Instant{base::monotonic_ns()}, bytes, buffers);
  }
  while (const auto slice = c.output.front(core_.durable(), stock_)) {
    // Busy: what is acknowledged makes room, and touches it again.
    if (!engine_->write(c.below, *slice, 0)) return;
    c.output.pop_keeping_hold(stock_);
    c.in_flight += slice->length;
    stats_.sent_bytes += slice->length;
  }
  if (!c.output.empty()) {
    if (!c.in_gated) {
      c.in_gated = true;
      gated_.push_back(index);
    }
    return;
  }
  if (!c.ending || c.write_ended) return;
  c.write_ended = true;
  (void)engine_->shutdown(c.below);
  if (c.closing) {
    lingering_.push({base::monotonic_ns() + kLingerNs, connections_.id(index)}, lingering_stock_);
  }
}

void XdpDriver::feed_all() {
  // feed() may put others in the list through acknowledged(); not itself.
  for (size_t i = 0; i < work_.size(); ++i) feed(work_[i]);
  work_.clear();
}

void XdpDriver::open_gates() {
  const Ticket durable = core_.durable();
  gates_opened_ = durable;
  size_t kept = 0;
  for (const uint32_t index : gated_) {
    Connection& c = connections_[index];
    const bool waits = c.phase == Phase::open && !c.output.empty();
    if (waits && c.output.head_ticket() > durable) {
      gated_[kept++] = index;
      continue;
    }
    c.in_gated = false;
    if (waits) touch(index);
  }
  gated_.resize(kept);
}

// Nothing that waits for an undurable ticket may leave, now or ever; its clients see a reset.
Result<void> XdpDriver::fail_gated(Error error) {
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    if (c.phase != Phase::open || c.output.empty()) continue;
    if (c.output.tail_ticket() <= core_.durable()) continue;
    finish(i, CloseReason::failed, 0, events_);
    (void)engine_->abort(c.below);
  }
  transmit(base::monotonic_ns());
  datagrams_.drop_waiting();
  return fail(std::move(error));
}

void XdpDriver::notify_writable() {
  const Limits& limits = options_.limits;
  if (queued_ > limits.send_max / 2) return;
  std::erase_if(blocked_, [&](uint32_t index) {
    Connection& c = connections_[index];
    const bool alive = c.phase == Phase::open && !c.ending;
    if (alive && c.output.bytes() + c.in_flight > limits.connection_send_max / 2) return false;
    c.in_blocked = false;
    if (alive) {
      events_.push_back({.type = EventType::writable,
                         .listener = c.listener,
                         .connection = connections_.id(index)});
    }
    return true;
  });
}

}  // namespace paste::port
