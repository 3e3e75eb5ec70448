// Engine: connections, timers, and what leaves.
#include "tcp/engine.h"

#include <algorithm>

#include "tcp/isn.h"

namespace paste::tcp {
namespace {

bool of_one_host(const Address& address) noexcept {
  if (!is_v4(address)) return address[0] != 0xFF && address != Address{};
  return address != ipv4_mapped(0, 0, 0, 0) && address[12] < 224;
}

tl::unexpected<Error> no_such_connection() { return fail(Code::closed, "the connection is gone"); }

}  // namespace

Engine::Engine(const EngineOptions& options, const EngineKeys& keys, EngineOwner& owner,
               Instant now)
    : options_(options),
      keys_(keys),
      owner_(owner),
      shared_(options.connection, options.in_flight_max != 0
                                      ? options.in_flight_max
                                      : std::clamp(options.connections_max, 1U, 65536U)),
      by_tuple_(0, PlaceHash{this}, PlaceEqual{this}),
      half_open_(options.half_open_max, keys.table),
      time_wait_(options.time_wait_max, keys.table, options.connection.time_wait),
      timers_(options.connections_max, now),
      challenges_(options.challenges_per_second),
      ports_(options.ports, keys.ports, keys.port_groups),
      replies_(std::max(options.resets_max, 1U)),
      work_(std::max(options.connections_max, 1U)) {
  by_tuple_.reserve(options.connections_max);
}

Engine::~Engine() {
  for (const uint32_t index : by_tuple_) {
    running_ = index;
    place(index).connection->abort(*this);
  }
}

// --- Callbacks of the connection that runs -----------------------------------------------------

void Engine::deliver(Slice slice) {
  Place& here = place(running_);
  if (!here.told_open) {
    here.told_open = true;
    owner_.opened(id_of(running_), here.listener);
  }
  owner_.deliver(id_of(running_), slice);
}

void Engine::acknowledged(Slice slice, uint64_t cookie) {
  owner_.acknowledged(id_of(running_), slice, cookie);
}

bool Engine::may_challenge(Instant now, ChallengeState& connection) {
  return challenges_.allow(now, owner_.draw(), connection);
}

// --- Places -----------------------------------------------------------------------------------

std::optional<uint32_t> Engine::take_place() {
  if (!place_free()) {
    ++counters_.connections_full;
    return std::nullopt;
  }
  if (free_places_.empty()) {
    const uint32_t n = std::min(kChunk, options_.connections_max - places_made_);
    chunks_.push_back(std::make_unique<Place[]>(n));
    free_places_.reserve(places_made_ + n);
    for (uint32_t i = n; i-- > 0;) free_places_.push_back(places_made_ + i);
    places_made_ += n;
  }
  const uint32_t index = free_places_.back();
  free_places_.pop_back();
  return index;
}

Engine::Place* Engine::lookup(ConnectionId connection) noexcept {
  if (connection.index >= places_made_) return nullptr;
  Place& found = place(connection.index);
  if (!found.connection || found.generation != connection.generation) return nullptr;
  return &found;
}

const Connection* Engine::find(ConnectionId connection) const noexcept {
  const Place* found = const_cast<Engine*>(this)->lookup(connection);
  return found == nullptr ? nullptr : &*found->connection;
}

const FourTuple* Engine::tuple(ConnectionId connection) const noexcept {
  const Place* found = const_cast<Engine*>(this)->lookup(connection);
  return found == nullptr ? nullptr : &found->tuple;
}

// The handle becomes void, and the place free.
void Engine::give_back(uint32_t index, Ending ending) {
  Place& here = place(index);
  owner_.closed(id_of(index), ending);
  timers_.cancel(index);
  by_tuple_.erase(index);
  here.connection.reset();
  ++here.generation;
  if (here.generation == 0) here.generation = 1;
  here.told_open = here.told_finished = false;
  free_places_.push_back(index);
}

// Tells what has happened, after everything that could leave now has left.
void Engine::settle(uint32_t index, Instant now) {
  Place& here = place(index);
  const Connection& connection = *here.connection;
  const State state = connection.state();
  const bool opened = connection.opened();
  // Who aborted it meanwhile does not want to hear of it.
  if (opened && !here.told_open && connection.ending() != Ending::aborted) {
    here.told_open = true;
    ++counters_.opened;
    owner_.opened(id_of(index), here.listener);
  }
  if (connection.peer_finished() && !here.told_finished) {
    here.told_finished = true;
    owner_.peer_finished(id_of(index));
  }
  if (state == State::closed) return give_back(index, connection.ending());
  if (state != State::time_wait) {
    const Instant at = connection.next_deadline(now);
    timers_.schedule_by(index, at <= now ? now + std::chrono::microseconds(1) : at);
    return;
  }
  // RFC 9293 §3.3.2: what TIME-WAIT needs is little; the connection's memory goes.
  const Timestamps* timestamps = connection.timestamps();
  TimeWaitEntry entry{
      .tuple = here.tuple, .snd_nxt = connection.send_state().nxt, .rcv_nxt = connection.rcv_nxt()};
  entry.window = connection.advertised();
  if (timestamps != nullptr) {
    entry.timestamps = true;
    entry.ts_recent = timestamps->echo();
    entry.ts_offset = timestamp_offset(keys_.timestamps, here.tuple);
  }
  time_wait_.insert(entry, now);
  give_back(index, Ending::orderly);
}

// --- The program's calls ----------------------------------------------------------------------

Result<> Engine::listen(uint16_t port, uint32_t listener, const Address& local) {
  if (!listeners_.emplace(std::pair(port, local), listener).second) {
    return fail(Code::in_use, "somebody listens on this port already");
  }
  return {};
}

void Engine::stop_listening(uint16_t port, const Address& local) {
  listeners_.erase({port, local});
}

std::optional<uint32_t> Engine::listener_of(const FourTuple& tuple) const {
  auto found = listeners_.find({tuple.local_port, tuple.local});
  if (found == listeners_.end()) found = listeners_.find({tuple.local_port, Address{}});
  return found == listeners_.end() ? std::nullopt : std::optional(found->second);
}

Result<ConnectionId> Engine::connect(const Address& local, const Address& remote,
                                     uint16_t remote_port, Instant now) {
  if (is_v4(local) != is_v4(remote)) {
    return fail(Code::invalid, "the two addresses are of different versions of IP");
  }
  // RFC 9293 MUST-46, MUST-63.
  if (!of_one_host(remote) || !of_one_host(local)) {
    return fail(Code::invalid,
                "a connection needs two addresses of one host each, not a group's, a "
                "broadcast or none");
  }
  FourTuple tuple{.local = local, .remote = remote, .local_port = 0, .remote_port = remote_port};
  const auto port = ports_.choose(tuple, [&](uint16_t candidate) {
    tuple.local_port = candidate;
    return !by_tuple_.contains(tuple) && time_wait_.find(tuple) == nullptr && !listener_of(tuple);
  });
  if (!port) return fail(Code::busy, "every port for this destination is in use");
  tuple.local_port = *port;
  const auto index = take_place();
  if (!index) return fail(Code::busy, "as many connections are open as the engine may have");
  Place& here = place(*index);
  here.tuple = tuple;
  here.listener = UINT32_MAX;
  here.connection.emplace(
      shared_,
      Connection::Identity{initial_sequence(keys_.isn, tuple, now),
                           timestamp_offset(keys_.timestamps, tuple), default_mss(tuple)},
      now);
  by_tuple_.insert(*index);
  touch(*index);
  return id_of(*index);
}

template <typename Call>
Result<> Engine::with(ConnectionId connection, Call&& call) {
  Place* found = lookup(connection);
  if (found == nullptr) return no_such_connection();
  running_ = connection.index;
  touch(connection.index);
  return call(*found->connection);
}

Result<> Engine::write(ConnectionId connection, Slice slice, uint64_t cookie) {
  return with(connection, [&](Connection& c) { return c.write(slice, cookie); });
}

Result<> Engine::consumed(ConnectionId connection, Instant now, uint32_t bytes, uint32_t buffers) {
  return with(connection, [&](Connection& c) -> Result<> {
    c.consumed(now, bytes, buffers, *this);
    return {};
  });
}

Result<> Engine::set_keep_alive(ConnectionId connection, bool on, Instant now) {
  return with(connection, [&](Connection& c) -> Result<> {
    c.set_keep_alive(on, now);
    return {};
  });
}

Result<> Engine::set_dscp(ConnectionId connection, uint8_t dscp) {
  if (dscp > 63) return fail(Code::invalid, "a DiffServ code point has six bits: 0 to 63");
  return with(connection, [&](Connection& c) -> Result<> {
    c.set_dscp(dscp);
    return {};
  });
}

Result<> Engine::set_nagle(ConnectionId connection, bool on) {
  return with(connection, [&](Connection& c) -> Result<> {
    c.set_nagle(on);
    return {};
  });
}

Result<> Engine::mark_urgent(ConnectionId connection) {
  return with(connection, [](Connection& c) { return c.mark_urgent(); });
}

Result<> Engine::shutdown(ConnectionId connection) {
  return with(connection, [](Connection& c) { return c.shutdown(); });
}

Result<> Engine::close(ConnectionId connection) {
  return with(connection, [](Connection& c) { return c.close(); });
}

Result<> Engine::abort(ConnectionId connection) {
  return with(connection, [&](Connection& c) -> Result<> {
    c.abort(*this);
    return {};
  });
}

// --- What leaves ------------------------------------------------------------------------------

void Engine::queue_reply(const FourTuple& tuple, const Segment& segment) {
  if (replies_.size() >= options_.resets_max) {
    ++counters_.resets_dropped;
    return;
  }
  replies_.push_back({tuple, segment});
}

bool Engine::dispatch(Instant now, FourTuple& tuple, Outgoing& out) {
  timers_.advance(now, [this](uint32_t index) { touch(index); });
  if (time_wait_.size() != 0) time_wait_.expire(now);
  if (half_open_.size() != 0 && half_open_.next_deadline() <= now) {
    half_open_.advance(
        now, [&](const SynEntry& entry) { queue_reply(entry.tuple, syn_ack(entry, now).header); },
        [&](const SynEntry&) { ++counters_.half_open_given_up; });
  }
  if (!replies_.empty()) {
    out.reset();
    tuple = replies_.front().tuple;
    out.header = replies_.front().segment;
    replies_.pop_front();
    ++counters_.segments_out;
    return true;
  }
  while (!work_.empty()) {
    const uint32_t index = work_.front();
    Place& here = place(index);
    if (here.connection) {
      running_ = index;
      const bool sent = here.connection->dispatch(now, out, *this);
      if (sent) {
        tuple = here.tuple;
        ++counters_.segments_out;
        if (!here.connection->at_rest()) return true;
      }
      leave_work();
      settle(index, now);
      if (sent) return true;
    } else {
      leave_work();
    }
  }
  return false;
}

Instant Engine::next_deadline(Instant now) const noexcept {
  if (!replies_.empty() || !work_.empty()) return now;
  return std::min(
      {timers_.next_deadline(), half_open_.next_deadline(), time_wait_.next_deadline()});
}

}  // namespace paste::tcp
