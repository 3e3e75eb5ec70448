// KernelDriver: queues, and the gate in front of them.
#include <algorithm>

#include "base/check.h"
#include "port/kernel/kernel_driver.h"

namespace paste::port {
namespace {
Unexpected too_much() {
  return fail(Code::busy, "too much is queued to be sent: wait until it is writable");
}
}  // namespace

Connection* KernelDriver::sendable(ConnectionId id) noexcept {
  Connection* c = connections_.find(id);
  const bool yes =
      c != nullptr && !c->ending && (c->phase == Phase::open || c->phase == Phase::connecting);
  return yes ? c : nullptr;
}

// One message is always admitted to an empty queue, however long, or it could never be sent.
bool KernelDriver::admit(Connection& c, uint32_t index, uint64_t bytes) {
  const Limits& limits = options_.limits;
  const bool fits = c.output.empty() || c.output.bytes() + bytes <= limits.connection_send_max;
  if (fits && (queued_ == 0 || queued_ + bytes <= limits.send_max)) return true;
  if (!c.in_blocked) {
    c.in_blocked = true;
    blocked_.push_back(index);
  }
  return false;
}

void KernelDriver::enqueued(Connection& c, uint32_t index, uint64_t bytes) {
  queued_ += bytes;
  if (c.sending || c.in_work || c.in_gated) return;
  if (c.output.head_ticket() > core_.durable()) {
    gate(index);
  } else {
    touch(index);
  }
}

void KernelDriver::gate(uint32_t index) {
  Connection& c = connections_[index];
  if (c.in_gated) return;
  c.in_gated = true;
  gated_.push_back(index);
}

Result<void> KernelDriver::send(ConnectionId id, Bytes bytes, const SendOptions& how) {
  Connection* c = sendable(id);
  if (c == nullptr) return fail(Code::closed, "the connection is closed for sending");
  if (bytes.empty()) return {};
  if (!admit(*c, id.index, bytes.size())) return too_much();
  c->output.append(bytes, ticket_of(how), stock_);
  enqueued(*c, id.index, bytes.size());
  return {};
}

Result<void> KernelDriver::send(ConnectionId id, std::span<const Slice> slices,
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

Result<void> KernelDriver::send_datagram(ListenerId id, const sockaddr_storage& peer,
                                         uint32_t peer_length, Bytes bytes,
                                         const SendOptions& how) {
  if (id == 0 || id > listeners_.size() || listener(id).transport != Transport::udp) {
    return fail(Code::invalid, "datagrams are sent from a listener for datagrams");
  }
  Listener& l = listener(id);
  const uint64_t before = l.outbox.bytes();
  if (before + bytes.size() > kDatagramSendMax ||
      queued_ + bytes.size() > options_.limits.send_max) {
    return too_much();
  }
  PASTE_TRY(l.outbox.append(peer, peer_length, bytes, ticket_of(how), stock_));
  queued_ += l.outbox.bytes() - before;
  return {};
}

uint64_t KernelDriver::queued(ConnectionId id) const {
  const Connection* c = connections_.find(id);
  return c == nullptr ? 0 : c->output.bytes();
}

uint32_t KernelDriver::gather(uint32_t index, std::span<iovec> pieces, uint64_t& total) {
  Connection& c = connections_[index];
  const uint32_t count = c.output.gather(core_.durable(), UINT64_MAX, pieces, total);
  if (count == 0 && !c.output.empty()) gate(index);
  return count;
}

void KernelDriver::sent(uint32_t index, uint64_t bytes) {
  Connection& c = connections_[index];
  c.output.pop(bytes, stock_);
  queued_ -= bytes;
  stats_.sent_bytes += bytes;
}

void KernelDriver::send_datagrams(ListenerId id) {
  Listener& l = listener(id);
  if (l.outbox.empty() || !l.can_write) return;
  const uint64_t before = l.outbox.bytes();
  l.can_write = l.outbox.send(l.socket.fd.get(), core_.durable(), stock_, stats_);
  queued_ -= before - l.outbox.bytes();
}

void KernelDriver::open_gates() {
  const Ticket durable = core_.durable();
  gates_opened_ = durable;
  size_t kept = 0;
  for (const uint32_t index : gated_) {
    Connection& c = connections_[index];
    const bool waits = c.phase != Phase::free && c.phase != Phase::closed && !c.output.empty();
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
Result<void> KernelDriver::fail_gated(Error error) {
  const Ticket durable = core_.durable();
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    Connection& c = connections_[i];
    const bool alive = c.phase == Phase::open || c.phase == Phase::connecting;
    if (!alive || c.output.empty() || c.output.tail_ticket() <= durable) continue;
    reset_socket(c.fd);
    finish(i, CloseReason::failed, 0, events_);
  }
  for (const auto& l : listeners_) {
    queued_ -= l->outbox.bytes();
    l->outbox.clear(stock_);
  }
  return fail(std::move(error));
}

void KernelDriver::notify_writable() {
  const Limits& limits = options_.limits;
  if (queued_ > limits.send_max / 2) return;
  std::erase_if(blocked_, [&](uint32_t index) {
    Connection& c = connections_[index];
    const bool alive = c.phase == Phase::open && !c.ending;
    if (alive && c.output.bytes() > limits.connection_send_max / 2) return false;
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
