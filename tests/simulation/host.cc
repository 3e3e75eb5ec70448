#include "host.h"

#include <algorithm>
#include <cstring>

#include "peer.h"

namespace paste::simulation {
namespace {

uint64_t key_of(ConnectionId id) { return uint64_t{id.index} << 32 | id.generation; }
ConnectionId id_of(uint64_t key) {
  return {static_cast<uint32_t>(key >> 32), static_cast<uint32_t>(key)};
}

tcp::EngineKeys draw_keys(sim::Prng& prng) {
  tcp::EngineKeys keys;
  for (tcp::SipKey* key :
       {&keys.isn, &keys.timestamps, &keys.cookies, &keys.table, &keys.ports, &keys.port_groups}) {
    *key = {prng.next(), prng.next()};
  }
  return keys;
}

}  // namespace

Host::Host(sim::World& world, std::string name, const HostOptions& options, sim::Link& out)
    : world_(world),
      name_(std::move(name)),
      options_(options),
      out_(out),
      prng_(world.prng().fork(name_)),
      memory_(size_t{options.buffers + 1} * kBufferSize),
      holds_(options.buffers + 1, 0),
      engine_(options.engine, draw_keys(prng_), *this, world.now()) {
  for (BufferName buffer = options.buffers; buffer >= 1; --buffer) free_.push_back(buffer);
}

void Host::complain(std::string what) {
  if (problem_.empty()) problem_ = name_ + ": " + std::move(what);
}

std::string Host::describe() const {
  const tcp::EngineCounters& c = engine_.counters();
  std::string text = name_ + ": begun " + std::to_string(begun_) + " answered " +
                     std::to_string(answered_) + " failed " + std::to_string(failed_) +
                     " connections " + std::to_string(engine_.connections()) + " half-open " +
                     std::to_string(engine_.half_open()) + " held " +
                     std::to_string(held_buffers()) + " accepted " + std::to_string(c.accepted) +
                     " refused " + std::to_string(c.refused) + " cookies " +
                     std::to_string(c.cookies_taken) + "/" + std::to_string(c.cookies_sent);
  uint32_t shown = 0;
  for (const auto& [key, e] : exchanges_) {
    if (++shown > 3) break;
    const tcp::Connection* c1 = engine_.find(id_of(key));
    text += std::string("\n    ") + (c1 == nullptr ? "gone" : tcp::to_string(c1->state())) +
            " wanted " + std::to_string(e.wanted) + " produced " + std::to_string(e.produced) +
            " received " + std::to_string(e.received);
  }
  return text;
}

// --- Buffers ----------------------------------------------------------------------------------

BufferName Host::take(uint32_t reserve) {
  if (free_.size() <= reserve) return kNoBuffer;
  const BufferName buffer = free_.back();
  free_.pop_back();
  holds_[buffer] = 1;
  return buffer;
}

void Host::release(BufferName buffer) {
  if (holds_[buffer] == 0) return complain("a hold was given back twice");
  if (--holds_[buffer] == 0) free_.push_back(buffer);
}

Slice Host::gather(std::span<const Slice> pieces, uint32_t length) {
  const BufferName buffer = take(0);
  if (buffer == kNoBuffer) return {};
  std::byte* to = bytes(buffer);
  for (const Slice piece : pieces) {
    std::memcpy(to, bytes(piece.buffer) + piece.offset, piece.length);
    to += piece.length;
    release(piece.buffer);
  }
  return {buffer, 0, static_cast<uint16_t>(length)};
}

void Host::hold(BufferName buffer, uint32_t n) {
  if (holds_[buffer] == 0) return complain("a hold of a free buffer was taken");
  holds_[buffer] += n;
}

// --- What the engine tells --------------------------------------------------------------------

void Host::opened(ConnectionId id, uint32_t) { exchanges_.try_emplace(key_of(id)); }

void Host::deliver(ConnectionId id, Slice slice) {
  if (!exchanges_.contains(key_of(id))) complain("bytes for a connection that is not open");
  unread_.emplace_back(id, slice);
}

void Host::peer_finished(ConnectionId id) { exchanges_[key_of(id)].peer_finished = true; }

void Host::closed(ConnectionId id, tcp::Ending ending) {
  const auto found = exchanges_.find(key_of(id));
  if (found == exchanges_.end()) {
    ++failed_;
    return;
  }
  Exchange& exchange = found->second;
  if (!options_.echo) {
    uint32_t late = 0;
    for (const auto& [to, slice] : unread_) {
      if (to == id) late += slice.length;
    }
    const bool whole = exchange.received + late == exchange.wanted;
    if (ending == tcp::Ending::orderly && whole) {
      ++answered_;
    } else {
      ++failed_;
    }
  }
  exchanges_.erase(found);
}

void Host::acknowledged(ConnectionId, Slice slice, uint64_t) { release(slice.buffer); }

// --- The program ------------------------------------------------------------------------------

void Host::start() {
  if (options_.echo && !engine_.listen(options_.port, 1)) complain("listen failed");
  run(world_.now());
}

void Host::connect_more(tcp::Instant now) {
  while (begun_ < options_.connections && engine_.connections() < options_.at_once) {
    const auto id = engine_.connect(options_.address, options_.server, options_.port, now);
    if (!id) return;
    ++begun_;
    Exchange& exchange = exchanges_[key_of(*id)];
    exchange.wanted = 1 + static_cast<uint32_t>(prng_.below(options_.request_max));
    exchange.salt = prng_.next();
  }
}

// The client: sends the request, and closes when it was answered, or at once.
void Host::advance(ConnectionId id, Exchange& exchange) {
  const tcp::Connection* connection = engine_.find(id);
  if (connection == nullptr || !connection->opened()) return;
  while (!options_.echo && exchange.produced < exchange.wanted) {
    const BufferName buffer = take(options_.buffers / 2);
    if (buffer == kNoBuffer) return;
    const auto length =
        static_cast<uint16_t>(std::min(exchange.wanted - exchange.produced, kBufferSize));
    for (uint32_t i = 0; i < length; ++i) {
      bytes(buffer)[i] = pattern(exchange.salt, exchange.produced + i);
    }
    if (!engine_.write(id, {buffer, 0, length}, 0)) {
      release(buffer);
      return;
    }
    exchange.produced += length;
  }
  const bool answered = !options_.echo && exchange.received == exchange.wanted;
  const bool our_turn = options_.echo
                            ? exchange.peer_finished
                            : (options_.client_closes ? answered : exchange.peer_finished);
  const bool half_close = !options_.echo && !options_.client_closes;
  if (!exchange.finished && (our_turn || half_close)) {
    exchange.finished = true;
    if (!engine_.shutdown(id)) complain("shutdown failed");
  }
}

void Host::work(tcp::Instant now) {
  const auto unread = std::exchange(unread_, {});
  for (const auto& [id, slice] : unread) {
    const auto found = exchanges_.find(key_of(id));
    if (found != exchanges_.end()) {
      Exchange& exchange = found->second;
      if (!options_.echo) {
        for (uint32_t i = 0; i < slice.length; ++i) {
          if (bytes(slice.buffer)[slice.offset + i] !=
              pattern(exchange.salt, exchange.received + i)) {
            complain("a wrong byte");
            break;
          }
        }
      }
      exchange.received += slice.length;
    }
    // The server sends the very buffers back that the request arrived in.
    if (options_.echo) hold(slice.buffer, 1);
    if (options_.echo && !engine_.write(id, slice, 0)) release(slice.buffer);
    release(slice.buffer);
    (void)engine_.consumed(id, now, slice.length, 1);
  }
  connect_more(now);
  for (auto& [key, exchange] : exchanges_) advance(id_of(key), exchange);
}

void Host::run(tcp::Instant now) {
  tcp::FourTuple tuple;
  tcp::Outgoing out;
  for (int turn = 0; turn < 3; ++turn) {
    work(now);
    for (uint32_t i = 0; engine_.dispatch(now, tuple, out); ++i) {
      sim::Frame frame(tcp::kHeadersMax + out.bytes);
      size_t at = tcp::emit_packet(tuple, out, memory_, kBufferSize, frame);
      for (const Slice slice : out.payload()) {
        std::memcpy(frame.data() + at, bytes(slice.buffer) + slice.offset, slice.length);
        at += slice.length;
      }
      frame.resize(at);
      out_.send(std::move(frame));
      if (i > 1'000'000) return complain("dispatch() never ends");
    }
  }
  tcp::Instant at = engine_.next_deadline(now);
  if (at <= now) at = now + std::chrono::microseconds(100);
  world_.cancel(*this);
  if (at != tcp::kNever) world_.wake(*this, at);
}

void Host::receive(sim::Frame frame) {
  const tcp::Instant now = world_.now();
  auto packet = tcp::parse_packet(frame);
  if (!packet || packet->tuple.local != options_.address) return;
  if (packet->segment.payload.length != 0) {
    const BufferName buffer = take(0);
    if (buffer == kNoBuffer) return;
    std::memcpy(bytes(buffer), frame.data(), std::min<size_t>(frame.size(), kBufferSize));
    packet->segment.payload.buffer = buffer;
  }
  engine_.arrive(*packet, now);
  run(now);
}

}  // namespace paste::simulation
