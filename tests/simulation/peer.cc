#include "peer.h"

#include <algorithm>
#include <cstring>

#include "tcp/isn.h"

namespace paste::simulation {
namespace {

// Both directions of a tuple have their own stream.
uint64_t salt_of(const tcp::FourTuple& tuple, bool out) {
  const uint64_t from = out ? tuple.local_port : tuple.remote_port;
  const uint64_t to = out ? tuple.remote_port : tuple.local_port;
  return from << 32 | to;
}

constexpr tcp::SipKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

}  // namespace

Peer::Peer(sim::World& world, std::string name, const PeerOptions& options, sim::Link& out)
    : world_(world),
      name_(std::move(name)),
      options_(options),
      out_(out),
      shared_(options.connection, 1),
      memory_(size_t{options.buffers + 1} * kBufferSize),
      holds_(options.buffers + 1, 0),
      salt_out_(salt_of(options.tuple, true)),
      salt_in_(salt_of(options.tuple, false)) {
  if (options.nic) nic_ = std::make_unique<sim::Nic>(world, name_ + " nic", out, *options.nic);
  for (BufferName name_of = options.buffers; name_of >= 1; --name_of) free_.push_back(name_of);
}

void Peer::complain(std::string what) {
  if (problem_.empty()) problem_ = name_ + ": " + std::move(what);
}

// --- Buffers ----------------------------------------------------------------------------------

// The last buffers are for receiving, or a sender could lock out the acknowledgements it waits for.
BufferName Peer::take(bool reserve) {
  if (free_.size() <= (reserve ? 0U : options_.buffers / 2)) return kNoBuffer;
  const BufferName buffer = free_.back();
  free_.pop_back();
  holds_[buffer] = 1;
  return buffer;
}

void Peer::release(BufferName buffer) {
  if (holds_[buffer] == 0) return complain("a hold was given back twice");
  if (--holds_[buffer] != 0) return;
  std::memset(bytes(buffer), 0xee, kBufferSize);  // who still reads it will notice
  free_.push_back(buffer);
}

Slice Peer::gather(std::span<const Slice> pieces, uint32_t length) {
  const BufferName buffer = take(true);
  if (buffer == kNoBuffer) return {};
  std::byte* to = bytes(buffer);
  for (const Slice piece : pieces) {
    std::memcpy(to, bytes(piece.buffer) + piece.offset, piece.length);
    to += piece.length;
    release(piece.buffer);
  }
  gathered_ += pieces.size();
  return {buffer, 0, static_cast<uint16_t>(length)};
}

void Peer::hold(BufferName buffer, uint32_t n) {
  if (holds_[buffer] == 0) return complain("a hold of a free buffer was taken");
  holds_[buffer] += n;
}

uint32_t Peer::free_buffers() const { return static_cast<uint32_t>(free_.size()); }

bool Peer::may_challenge(tcp::Instant now, tcp::ChallengeState& connection) {
  return limiter_.allow(now, world_.prng().next(), connection);
}

uint32_t Peer::held_buffers() const noexcept {
  return options_.buffers - static_cast<uint32_t>(free_.size());
}

void Peer::acknowledged(Slice slice, uint64_t) {
  acknowledged_ += slice.length;
  release(slice.buffer);
}

// --- The program ------------------------------------------------------------------------------

void Peer::deliver(Slice slice) {
  unread_.push_back(slice);
  for (uint32_t i = 0; i < slice.length; ++i) {
    if (bytes(slice.buffer)[slice.offset + i] != pattern(salt_in_, received_ + i)) {
      complain("byte " + std::to_string(received_ + i) + " is wrong");
      break;
    }
  }
  received_ += slice.length;
}

void Peer::read_one(tcp::Instant now) {
  const Slice slice = unread_[unread_head_++];
  if (unread_head_ == unread_.size()) {
    unread_.clear();
    unread_head_ = 0;
  }
  release(slice.buffer);
  connection_->consumed(now, slice.length, 1, *this);
}

void Peer::produce() {
  if (!connection_->opened() || shut_) return;
  while (produced_ < options_.send_bytes && produced_ - acknowledged_ < options_.queue_bytes) {
    const BufferName buffer = take(false);
    if (buffer == kNoBuffer) return;
    const auto length = static_cast<uint16_t>(
        std::min<uint64_t>({options_.send_bytes - produced_, options_.write_bytes, kBufferSize}));
    for (uint32_t i = 0; i < length; ++i) bytes(buffer)[i] = pattern(salt_out_, produced_ + i);
    if (!connection_->write({buffer, 0, length}, produced_)) {
      release(buffer);
      return;
    }
    produced_ += length;
  }
  if (produced_ == options_.send_bytes) {
    shut_ = true;
    if (!connection_->shutdown()) complain("shutdown failed");
  }
}

bool Peer::finished() const noexcept {
  return connection_ != nullptr && connection_->state() == tcp::State::closed && unread_.empty() &&
         !listening_ && tokens_.size() == leaving_.size();
}

std::string Peer::describe() const {
  if (connection_ == nullptr) return name_ + ": no connection";
  const tcp::Connection& c = *connection_;
  std::string text = name_ + ": " + tcp::to_string(c.state()) + ", sent " +
                     std::to_string(produced_) + " of " + std::to_string(options_.send_bytes) +
                     ", acknowledged " + std::to_string(acknowledged_) + ", received " +
                     std::to_string(received_) + ", free buffers " + std::to_string(free_.size());
  text += ", ending " + std::to_string(static_cast<int>(c.ending()));
  const tcp::ConnectionDrops& d = c.drops();
  text += ", dropped " + std::to_string(d.not_acceptable) + " not acceptable " +
          std::to_string(d.paws) + " old timestamp " + std::to_string(d.no_timestamp) +
          " no timestamp " + std::to_string(d.bad_ack) + " bad ack " + std::to_string(d.bad_syn) +
          " bad syn " + std::to_string(d.out_of_order_full) + " no room " +
          std::to_string(d.beyond_fin) + " beyond fin, no buffer " + std::to_string(no_buffer_);
  if (c.sender() != nullptr) {
    const tcp::Sender& s = *c.sender();
    text += ", flight " + std::to_string(s.flight()) + ", pipe " +
            std::to_string(s.scoreboard().pipe()) + ", lost " +
            std::to_string(s.scoreboard().lost_bytes()) + ", cwnd " +
            std::to_string(s.congestion().cwnd()) + ", window " + std::to_string(s.window()) +
            ", recovery " + std::to_string(s.in_recovery());
  }
  return text;
}

// --- The turn ---------------------------------------------------------------------------------

void Peer::connect() {
  connection_ = std::make_unique<tcp::Connection>(
      shared_,
      tcp::Connection::Identity{tcp::initial_sequence(kKey, options_.tuple, world_.now()),
                                tcp::timestamp_offset(kKey, options_.tuple)},
      world_.now());
  run(world_.now());
}

// The card reads the headers and, in place, what is sent.
void Peer::feed_card() {
  while (!waiting_.empty() && nic_->transmit(waiting_.front(), leaving_[waiting_.front()].pieces)) {
    waiting_.pop_front();
  }
}

void Peer::poll_card(tcp::Instant now) {
  uint64_t done[32];
  while (const size_t n = nic_->completions(done)) {
    for (size_t i = 0; i < n; ++i) {
      for (const BufferName buffer : leaving_[done[i]].held) release(buffer);
      leaving_[done[i]].held.clear();
      tokens_.push_back(done[i]);
    }
  }
  feed_card();
  sim::Frame frames[16];
  while (const size_t n = nic_->receive(frames)) {
    for (size_t i = 0; i < n; ++i) arrive(std::move(frames[i]), now);
  }
}

void Peer::transmit(const tcp::Outgoing& out) {
  if (nic_) {
    if (tokens_.empty()) {
      tokens_.push_back(leaving_.size());
      leaving_.emplace_back();
    }
    const uint64_t token = tokens_.back();
    tokens_.pop_back();
    Leaving& frame = leaving_[token];
    frame.head.resize(tcp::kHeadersMax);
    frame.head.resize(tcp::emit_packet(options_.tuple, out, memory_, kBufferSize, frame.head));
    frame.pieces.assign(1, frame.head);
    for (const Slice slice : out.payload()) {
      frame.pieces.emplace_back(bytes(slice.buffer) + slice.offset, slice.length);
      hold(slice.buffer, 1);
      frame.held.push_back(slice.buffer);
    }
    waiting_.push_back(token);
    return feed_card();
  }
  sim::Frame frame(tcp::kHeadersMax + out.bytes);
  const size_t head = tcp::emit_packet(options_.tuple, out, memory_, kBufferSize, frame);
  size_t at = head;
  for (const Slice slice : out.payload()) {
    std::memcpy(frame.data() + at, bytes(slice.buffer) + slice.offset, slice.length);
    at += slice.length;
  }
  frame.resize(at);
  out_.send(std::move(frame));
}

void Peer::receive(sim::Frame frame) {
  const tcp::Instant now = world_.now();
  arrive(std::move(frame), now);
  run(now);
}

void Peer::arrive(sim::Frame frame, tcp::Instant now) {
  const auto packet = tcp::parse_packet(frame);
  if (!packet || packet->tuple != options_.tuple) {
    ++bad_frames_;
    return;
  }
  tcp::Segment segment = packet->segment;
  if (segment.payload.length != 0) {
    // As a network card does: the whole frame goes to a buffer, the payload stays where it lies.
    const BufferName buffer = take(true);
    if (buffer == kNoBuffer) {
      ++no_buffer_;
      return;
    }
    std::memcpy(bytes(buffer), frame.data(), frame.size());
    segment.payload.buffer = buffer;
  }
  if (listening_) {
    if (!segment.has(tcp::kSyn) || segment.has(tcp::kAck) || segment.has(tcp::kRst)) {
      if (segment.payload.length != 0) release(segment.payload.buffer);
      return;
    }
    listening_ = false;
    connection_ = std::make_unique<tcp::Connection>(
        shared_,
        tcp::Connection::Identity{tcp::initial_sequence(kKey, options_.tuple, now),
                                  tcp::timestamp_offset(kKey, options_.tuple)},
        segment, now);
    if (segment.payload.length != 0) release(segment.payload.buffer);
    return;
  }
  if (connection_ == nullptr) {
    if (segment.payload.length != 0) release(segment.payload.buffer);
    return;
  }
  if (const auto reset = connection_->process(segment, now, *this)) {
    tcp::Outgoing out;
    out.header = *reset;
    transmit(out);
  }
}

uint64_t Peer::dropped() const noexcept {
  if (connection_ == nullptr) return 0;
  const tcp::ConnectionDrops& d = connection_->drops();
  return d.not_acceptable + d.paws + d.no_timestamp + d.bad_ack + d.no_ack + d.out_of_order_full +
         d.beyond_fin + d.no_buffers;
}

void Peer::run(tcp::Instant now) {
  if (nic_) poll_card(now);
  if (connection_ == nullptr) {
    if (nic_) nic_->arm(*this);
    return;
  }
  if (options_.read_every.count() == 0) {
    while (!unread_.empty()) read_one(now);
  } else if (!unread_.empty() && read_at_ == tcp::kNever) {
    read_at_ = now + options_.read_every;
  }
  if (read_at_ <= now) {
    read_at_ = tcp::kNever;
    if (!unread_.empty()) read_one(now);
    if (!unread_.empty()) read_at_ = now + options_.read_every;
  }
  produce();
  tcp::Outgoing out;
  const auto next = [&] { return waiting_.empty() && connection_->dispatch(now, out, *this); };
  for (uint32_t i = 0; next(); ++i) {
    transmit(out);
    if (i > 100'000) return complain("dispatch() never ends");
  }
  produce();
  while (next()) transmit(out);
  tcp::Instant at = std::min(connection_->next_deadline(now), read_at_);
  if (at <= now) {
    // Something is due that dispatch() does not give: progress needs time to pass.
    at = now + std::chrono::microseconds(100);
  }
  world_.cancel(*this);
  if (at != tcp::kNever) world_.wake(*this, at);
  if (nic_) nic_->arm(*this);
}

void Peer::act(tcp::Instant now) { run(now); }

}  // namespace paste::simulation
