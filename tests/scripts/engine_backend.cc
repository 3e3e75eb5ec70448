#include "engine_backend.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "tcp/engine.h"

namespace paste::scripts {
namespace {

constexpr uint32_t kBuffers = 512;
constexpr uint32_t kBufferSize = 2048;
constexpr tcp::Instant kStart{5'000'000'000};

// As Linux has it, where the RFCs leave a choice, so that scripts can be compared.
tcp::EngineOptions options_of(const Script& script) {
  tcp::EngineOptions options;
  options.connections_max = 16;
  options.half_open_max = script.number("half-open-max", 16);
  options.time_wait_max = 16;
  tcp::ConnectionOptions& c = options.connection;
  c.sender.rtt.rto_min = script.duration("rto-min", std::chrono::milliseconds(200));
  c.sender.rtt.rto_initial = script.duration("rto-initial", std::chrono::seconds(1));
  c.sender.congestion.algorithm = script.setting("cc", "cubic") == "reno"
                                      ? tcp::CongestionOptions::Algorithm::reno
                                      : tcp::CongestionOptions::Algorithm::cubic;
  c.sender.congestion.hystart = script.on("hystart", false);
  c.sender.pacing.burst_segments = 1000;  // scripts look at windows
  c.sender.nagle = script.on("nagle", true);
  c.sender.user_timeout = script.duration("user-timeout", std::chrono::seconds(120));
  c.mss = static_cast<uint16_t>(script.number("mss", script.number("ip", 4) == 6 ? 1440 : 1460));
  c.sack = script.on("sack", true);
  c.timestamps = script.on("timestamps", true);
  c.window_scale = script.on("window-scale", true);
  c.ecn = script.on("ecn", false);
  c.window_initial = script.number("rcvbuf", 64 << 10);
  c.window_max = std::max<uint32_t>(c.window_initial, script.number("rcvbuf", 4 << 20));
  c.buffers_max = script.number("buffers-max", 256);
  c.reassembly.buffers_max = script.number("out-of-order-max", 256);
  c.keep_alive_idle = script.duration("keep-alive", Duration(0));
  c.keep_alive = c.keep_alive_idle != Duration(0);
  c.keep_alive_interval = script.duration("keep-alive-interval", std::chrono::seconds(75));
  c.keep_alive_probes = static_cast<uint8_t>(script.number("keep-alive-probes", 9));
  c.sender.path_age = script.duration("path-age", std::chrono::minutes(10));
  c.time_wait = script.duration("time-wait", std::chrono::seconds(60));
  c.ack.delay = script.duration("delayed-ack", std::chrono::milliseconds(40));
  c.ack.quick_acks = static_cast<uint8_t>(script.number("quick-acks", 16));
  c.syn_tries = static_cast<uint8_t>(script.number("syn-tries", 6));
  return options;
}

const char* name_of(tcp::Ending ending) {
  switch (ending) {
    case tcp::Ending::none:
      return "none";
    case tcp::Ending::orderly:
      return "orderly";
    case tcp::Ending::reset:
      return "reset";
    case tcp::Ending::refused:
      return "refused";
    case tcp::Ending::timed_out:
      return "timed_out";
    case tcp::Ending::aborted:
      return "aborted";
  }
  return "?";
}

class EngineBackend final : public Backend, private tcp::EngineOwner {
 public:
  explicit EngineBackend(const Script& script)
      : tuple_(script_tuple(script.number("ip", 4) == 6)),
        memory_(size_t{kBuffers + 1} * kBufferSize),
        holds_(kBuffers + 1, 0) {
    for (BufferName b = kBuffers; b >= 1; --b) free_.push_back(b);
    const tcp::EngineKeys keys{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}};
    engine_.reset(new tcp::Engine(options_of(script), keys, *this, now_));
  }

  Duration now() override { return now_ - kStart; }

  std::optional<Sent> next(Duration until) override {
    const tcp::Instant end = kStart + until;
    while (true) {
      if (!held_.empty()) {
        Sent first = std::move(held_.front());
        held_.pop_front();
        return first;
      }
      tcp::FourTuple tuple;
      tcp::Outgoing out;
      if (engine_->dispatch(now_, tuple, out)) return frame_of(tuple, out);
      const tcp::Instant at = engine_->next_deadline(now_);
      if (at > end) break;
      // A deadline that has passed without a packet needs time to move on.
      now_ = std::max(at, now_ + std::chrono::microseconds(1));
      if (now_ > end) break;
    }
    now_ = std::max(now_, end);
    return std::nullopt;
  }

  void inject(const Frame& frame) override {
    now_ = now_ + std::chrono::microseconds(50);  // or every round trip would be none
    tcp::Packet packet;
    if (tcp::parse_packet(frame, packet)) {
      if (const auto error = tcp::parse_icmp_error(frame)) engine_->icmp(*error, now_);
      return settle();
    }
    if (packet.segment.payload.length != 0) {
      const BufferName buffer = take();
      if (buffer == kNoBuffer) return;
      std::memcpy(at(buffer), frame.data(), frame.size());
      packet.segment.payload.buffer = buffer;
    }
    engine_->arrive(packet, now_);
    settle();  // as the kernel does, for each packet
  }

  std::string app(const std::string& word, const std::string& argument) override {
    const auto n = static_cast<uint32_t>(std::strtoul(argument.c_str(), nullptr, 10));
    if (word == "listen") {
      listening_ = true;
      return said(engine_->listen(tuple_.local_port, 1));
    }
    if (word == "connect") return open();
    if (word == "accept") return accept();
    if (word == "write") return write(n);
    if (word == "read") return read(n);
    if (word == "write-urgent") {
      const std::string problem = write(n);
      return problem.empty() ? said(engine_->mark_urgent(id_)) : problem;
    }
    if (word == "urgent") {
      const tcp::Connection* connection = engine_->find(id_);
      const uint32_t left = connection == nullptr ? 0 : connection->urgent_bytes();
      return left == n && (n == 0 || told_urgent_ != 0)
                 ? ""
                 : std::to_string(left) + " bytes are urgent, told " + std::to_string(told_urgent_);
    }
    if (word == "not-readable") return unread_.empty() ? "" : "there are bytes to read";
    if (word == "eof") {
      if (!unread_.empty()) return "there are bytes to read";
      return peer_finished_ ? "" : "the peer has not finished";
    }
    if (word == "shutdown") return said(engine_->shutdown(id_));
    if (word == "close") return close();
    if (word == "abort") return said(engine_->abort(id_));
    if (word == "write-fails") {
      const std::string problem = write(1);
      return problem.empty() ? "the write succeeded" : "";
    }
    if (word == "error") {
      settle();
      return name_of(ending_) == argument
                 ? ""
                 : "the connection's ending is " + std::string(name_of(ending_));
    }
    return "the engine cannot " + word;
  }

  std::string state() override {
    settle();
    const ConnectionId id = accepted_.empty() ? id_ : accepted_.front();
    if (const tcp::Connection* connection = engine_->find(id)) {
      return tcp::to_string(connection->state());
    }
    if (engine_->in_time_wait() != 0) return "TIME-WAIT";
    if (engine_->half_open() != 0) return "SYN-RECEIVED";
    return listening_ && ending_ == tcp::Ending::none ? "LISTEN" : "CLOSED";
  }

  std::string finish() override {
    while (!unread_.empty()) drop_unread();
    engine_.reset();  // gives everything back
    if (free_.size() != kBuffers) {
      return std::to_string(kBuffers - free_.size()) + " buffers were not given back";
    }
    return problem_;
  }
  Duration late() const override { return std::chrono::microseconds(1100); }  // a tick of the wheel
  Duration early() const override { return Duration(0); }

 private:
  // --- EngineOwner ---
  void opened(ConnectionId id, uint32_t listener) override {
    if (listener == 1) accepted_.push_back(id);
    if (id == id_) open_ = true;
  }
  void deliver(ConnectionId, Slice slice) override {
    for (uint32_t i = 0; i < slice.length; ++i) {
      if (at(slice.buffer)[slice.offset + i] != peer_byte(received_ + 1 + i)) {
        problem_ = "byte " + std::to_string(received_ + i) + " that was delivered is wrong";
        break;
      }
    }
    received_ += slice.length;
    unread_.push_back(slice);
  }
  void peer_finished(ConnectionId) override { peer_finished_ = true; }
  void urgent(ConnectionId, uint32_t bytes) override { told_urgent_ = bytes; }
  void closed(ConnectionId id, tcp::Ending ending) override {
    if (id == id_ || id_.generation == 0) ending_ = ending;
  }
  void acknowledged(ConnectionId, Slice slice, uint64_t) override { release(slice.buffer); }
  void release(BufferName b) override {
    if (holds_[b] == 0) {
      problem_ = "a buffer was given back twice";
    } else if (--holds_[b] == 0) {
      free_.push_back(b);
    }
  }
  void hold(BufferName b, uint32_t n) override { holds_[b] += n; }
  uint32_t free_buffers() const override { return static_cast<uint32_t>(free_.size()); }
  uint64_t draw() override { return draws_ += 0x9E3779B97F4A7C15; }

  // --- The program ---
  static std::string said(const Result<>& result) { return result ? "" : result.error().message(); }

  // What the engine has to tell comes with dispatch(); packets stay for next().
  void settle() {
    tcp::FourTuple tuple;
    tcp::Outgoing out;
    while (engine_->dispatch(now_, tuple, out)) held_.push_back(frame_of(tuple, out));
  }
  std::string open() {
    const auto id = engine_->connect(tuple_.local, tuple_.remote, tuple_.remote_port, now_);
    if (!id) return id.error().message();
    id_ = *id;
    return "";
  }
  std::string accept() {
    settle();
    if (accepted_.empty()) return "no connection waits to be accepted";
    id_ = accepted_.front();
    accepted_.pop_front();
    return "";
  }
  std::string write(uint32_t n) {
    while (n > 0) {
      const BufferName b = take();
      if (b == kNoBuffer) return "no free buffer to write from";
      const auto length = static_cast<uint16_t>(std::min(n, kBufferSize));
      std::memset(at(b), 'x', length);
      if (const auto written = engine_->write(id_, {b, 0, length}, 0); !written) {
        release(b);
        return written.error().message();
      }
      n -= length;
    }
    return "";
  }
  void drop_unread() {
    release(unread_.front().buffer);
    unread_.pop_front();
  }
  std::string read(uint32_t n) {
    uint32_t done = 0;
    while (done < n && !unread_.empty()) {
      Slice& slice = unread_.front();
      const uint32_t part = std::min<uint32_t>(slice.length, n - done);
      const bool whole = part == slice.length;
      done += part;
      slice.offset = static_cast<uint16_t>(slice.offset + part);
      slice.length = static_cast<uint16_t>(slice.length - part);
      if (whole) drop_unread();
      (void)engine_->consumed(id_, now_, part, whole ? 1 : 0);
    }
    return done == n ? "" : "only " + std::to_string(done) + " bytes were there to read";
  }
  // As a socket's close(): what was not read is lost, and the peer is told so (RFC 2525 §2.17).
  std::string close() {
    if (unread_.empty()) return said(engine_->close(id_));
    while (!unread_.empty()) drop_unread();
    return said(engine_->abort(id_));
  }

  BufferName take() {
    if (free_.empty()) return kNoBuffer;
    const BufferName b = free_.back();
    free_.pop_back();
    holds_[b] = 1;
    return b;
  }
  std::byte* at(BufferName b) { return memory_.data() + size_t{b} * kBufferSize; }
  Sent frame_of(const tcp::FourTuple& tuple, const tcp::Outgoing& out) {
    Frame frame(tcp::kHeadersMax);
    frame.resize(tcp::emit_packet(tuple, out, memory_, kBufferSize, frame));
    for (const Slice slice : out.payload()) {
      frame.insert(frame.end(), at(slice.buffer) + slice.offset,
                   at(slice.buffer) + slice.offset + slice.length);
    }
    return {now(), std::move(frame)};
  }

  tcp::Instant now_ = kStart;
  tcp::FourTuple tuple_;
  std::vector<std::byte> memory_;
  std::vector<uint32_t> holds_;
  std::vector<BufferName> free_;
  std::deque<Slice> unread_;
  std::deque<ConnectionId> accepted_;
  std::deque<Sent> held_;
  ConnectionId id_{};
  tcp::Ending ending_ = tcp::Ending::none;
  uint32_t received_ = 0;
  uint32_t told_urgent_ = 0;
  uint64_t draws_ = 77;
  bool open_ = false;
  bool listening_ = false;
  bool peer_finished_ = false;
  std::string problem_;
  std::unique_ptr<tcp::Engine> engine_;
};

}  // namespace

std::unique_ptr<Backend> make_engine_backend(const Script& script) {
  return std::make_unique<EngineBackend>(script);
}

}  // namespace paste::scripts
