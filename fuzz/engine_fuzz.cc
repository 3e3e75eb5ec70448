// A whole host under a stream of frames, time steps and calls of its program: TCP with its tables
// and timers, ICMP errors, echo, UDP. Whatever comes: every buffer's hold comes back once, tables
// stay within their bounds, what leaves is a packet that parses, and the short way of parsing gives
// what the general way gives.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "ip/icmp_responder.h"
#include "tcp/engine.h"
#include "tcp/packet_common.h"
#include "tcp_fuzz_input.h"
#include "udp/udp.h"

namespace paste::tcp {
namespace {

constexpr uint32_t kBuffers = 48;
constexpr uint32_t kBufferSize = 2048;
constexpr Address kOurs = ipv4_mapped(10, 0, 0, 1);
constexpr Address kPeer = ipv4_mapped(10, 0, 0, 2);

void require(bool condition, int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "engine_fuzz.cc:%d: not so\n", line);
  std::abort();
}

class Host final : private EngineOwner {
 public:
  explicit Host(Input& in) : in_(in), memory_(size_t{kBuffers + 1} * kBufferSize) {
    for (BufferName b = kBuffers; b >= 1; --b) free_.push_back(b);
    EngineOptions options;
    options.connection = draw_options(in);
    options.connections_max = 4;
    options.half_open_max = 1 + in.byte() % 3;
    options.time_wait_max = 2;
    options.resets_max = 4;
    options.in_flight_max = 1 + in.byte() % 4;
    engine_.reset(
        new Engine(options, {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}}, *this, now_));
    require(engine_->listen(80, 1).has_value());
    require(udp_.bind(53, 1).has_value());
  }

  void run() {
    for (int i = 0; i < 300 && !in_.empty(); ++i) {
      step();
      drain();
      require(engine_->connections() <= 4 && engine_->half_open() <= 3 &&
              engine_->in_time_wait() <= 2);
    }
    for (const Slice slice : unread_) release(slice.buffer);
    engine_.reset();
    require(free_.size() == kBuffers);
  }

 private:
  void opened(ConnectionId id, uint32_t) override { open_.push_back(id); }
  void deliver(ConnectionId id, Slice slice) override {
    require(engine_->find(id) != nullptr && slice.length > 0 && holds_[slice.buffer] > 0);
    unread_.push_back(slice);
    reader_ = id;
  }
  void peer_finished(ConnectionId) override {}
  void closed(ConnectionId id, Ending ending) override {
    require(ending != Ending::none);
    std::erase_if(open_, [&](ConnectionId one) {
      return one.index == id.index && one.generation == id.generation;
    });
  }
  void acknowledged(ConnectionId, Slice slice, uint64_t) override { release(slice.buffer); }
  void release(BufferName b) override {
    require(b >= 1 && b <= kBuffers && holds_[b] > 0);
    if (--holds_[b] == 0) free_.push_back(b);
  }
  void hold(BufferName b, uint32_t n) override {
    require(holds_[b] > 0);
    holds_[b] += n;
  }
  [[nodiscard]] uint32_t free_buffers() const override {
    return static_cast<uint32_t>(free_.size());
  }
  [[nodiscard]] uint64_t draw() override { return draws_ += 0x9E3779B97F4A7C15; }

  BufferName take() {
    if (free_.empty()) return kNoBuffer;
    const BufferName b = free_.back();
    free_.pop_back();
    holds_[b] = 1;
    return b;
  }
  std::byte* at(BufferName b) { return memory_.data() + size_t{b} * kBufferSize; }

  // A segment of the peer, near to what would fit, as a frame that may be damaged.
  std::vector<std::byte> draw_frame() {
    FourTuple tuple{.local = kPeer, .remote = kOurs, .local_port = 5000, .remote_port = 80};
    const uint8_t what = in_.byte();
    tuple.local_port = static_cast<uint16_t>(5000 + (what & 3));
    if ((what & 0x40) != 0) tuple.remote_port = last_.local_port;
    Outgoing out;
    Segment& s = out.header;
    s.flags = in_.byte();
    s.seq = last_seen_.header.ack + (in_.byte() & 3) * 100U - (in_.byte() & 1) * 50U;
    s.ack = last_seen_.header.seq + last_seen_.bytes + (in_.byte() & 3) - 1;
    s.window = static_cast<uint16_t>(in_.byte() << 8);
    s.urgent = in_.byte();
    if ((s.flags & kSyn) != 0 && (what & 4) != 0) s.options.mss = 500;
    s.options.sack_permitted = (s.flags & kSyn) != 0 && (what & 8) != 0;
    s.options.timestamps = (what & 16) != 0;
    s.options.ts_value = static_cast<uint32_t>(now_.ns / 1'000'000);
    s.options.ts_echo = last_seen_.header.options.ts_value;
    const uint32_t length = (what & 0x80) != 0 ? in_.byte() * 4U : 0;
    std::vector<std::byte> payload(1024, std::byte{7});
    out.slice_count = length == 0 ? 0 : 1;
    out.slices[0] = {0, 0, static_cast<uint16_t>(length)};
    out.bytes = length;
    std::vector<std::byte> frame(kHeadersMax);
    frame.resize(emit_packet(tuple, out, payload, 1024, frame));
    frame.insert(frame.end(), payload.begin(), payload.begin() + length);
    if ((what & 0x20) != 0) frame[in_.byte() % frame.size()] ^= static_cast<std::byte>(in_.byte());
    return frame;
  }
  std::vector<std::byte> raw_frame() {
    std::vector<std::byte> frame(in_.byte());
    for (std::byte& b : frame) b = static_cast<std::byte>(in_.byte());
    return frame;
  }

  void arrive(const std::vector<std::byte>& frame) {
    Packet by_short, by_general;
    const bool took = common::parse(frame, by_short);
    const auto refusal = general::parse(frame, by_general);
    if (took) {
      require(!refusal.has_value() && by_short.tuple == by_general.tuple &&
              by_short.segment.seq == by_general.segment.seq &&
              by_short.segment.payload.length == by_general.segment.payload.length);
    }
    if (!refusal) {
      if (by_general.segment.payload.length != 0) {
        const BufferName b = take();
        if (b == kNoBuffer) return;
        std::memcpy(at(b), frame.data(), frame.size());
        by_general.segment.payload.buffer = b;
      }
      return engine_->arrive(by_general, now_);
    }
    if (const auto error = parse_icmp_error(frame)) engine_->icmp(*error, now_);
    std::byte reply[ip::IcmpResponder::kErrorMax];
    const wire::IpAddress ours[] = {wire::IpAddress{kOurs}};
    require(icmp_.answer_echo(frame, ours, reply) <= sizeof reply);
    udp::Refused why{};
    if (!udp_.arrive(frame, why) && why == udp::Refused::no_port) {
      require(icmp_.unreachable(frame, ip::IcmpResponder::Unreachable::port,
                                now_.ns / 1'000'000'000, reply) <= sizeof reply);
    }
  }

  void step() {
    const uint8_t what = in_.byte();
    switch (what & 7) {
      case 0:
        return arrive(raw_frame());
      case 1:
        now_ = now_ + std::chrono::milliseconds(in_.byte() * 16);
        return;
      case 2: {
        const auto id = engine_->connect(kOurs, kPeer, 5000 + (what >> 6), now_);
        if (id && (what & 8) != 0) (void)engine_->close(*id);
        return;
      }
      case 3:
        return call(what);
      case 4:
        return tell();
      default:
        return arrive(draw_frame());
    }
  }
  void call(uint8_t what) {
    if ((what & 8) != 0 && !unread_.empty()) {
      release(unread_.back().buffer);
      (void)engine_->consumed(reader_, now_, unread_.back().length, 1);
      unread_.pop_back();
    }
    if (open_.empty()) return;
    const ConnectionId id = open_[in_.byte() % open_.size()];
    switch (what >> 4 & 7) {
      case 0:
        (void)engine_->shutdown(id);
        break;
      case 1:
        (void)engine_->close(id);
        break;
      case 2:
        (void)engine_->abort(id);
        break;
      case 3:
        (void)engine_->mark_urgent(id);
        break;
      case 4:
        (void)engine_->set_keep_alive(id, (what & 8) != 0, now_);
        break;
      default: {
        const BufferName b = take();
        if (b == kNoBuffer) break;
        if (!engine_->write(id, {b, 0, static_cast<uint16_t>(1 + in_.byte() * 8)}, 0)) release(b);
      }
    }
  }
  // An error about what was sent last.
  void tell() {
    IcmpError error{.kind = static_cast<IcmpError::Kind>(in_.byte() % 3), .mtu = in_.half()};
    error.tuple = last_;
    error.seq = last_seen_.header.seq + (in_.byte() & 1);
    engine_->icmp(error, now_);
  }

  void drain() {
    FourTuple tuple;
    Outgoing out;
    for (int i = 0; engine_->dispatch(now_, tuple, out); ++i) {
      require(i < 10'000);
      std::byte headers[kHeadersMax], again[kHeadersMax];
      const size_t length = emit_packet(tuple, out, memory_, kBufferSize, headers);
      require(length <= kHeadersMax &&
              general::emit(tuple, out, memory_, kBufferSize, again) == length &&
              std::memcmp(headers, again, length) == 0);
      std::vector<std::byte> frame(headers, headers + length);
      for (const Slice s : out.payload()) {
        require(holds_[s.buffer] > 0 && s.offset + s.length <= kBufferSize);
        frame.insert(frame.end(), at(s.buffer) + s.offset, at(s.buffer) + s.offset + s.length);
      }
      Packet packet;
      require(!parse_packet(frame, packet));
      last_ = tuple;
      last_seen_ = out;
    }
  }

  Input& in_;
  Instant now_{5'000'000'000};
  std::vector<std::byte> memory_;
  uint32_t holds_[kBuffers + 1] = {};
  std::vector<BufferName> free_;
  std::vector<Slice> unread_;
  std::vector<ConnectionId> open_;
  ConnectionId reader_{};
  FourTuple last_{};
  Outgoing last_seen_;
  uint64_t draws_ = 3;
  udp::Endpoints udp_;
  ip::IcmpResponder icmp_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace
}  // namespace paste::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  paste::tcp::Input in(data, size);
  paste::tcp::Host(in).run();
  return 0;
}
