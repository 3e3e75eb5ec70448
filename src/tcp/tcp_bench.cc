// What a request costs in the engine: a packet with 1 KiB arrives, is parsed and checked, its slice
// is handed up, and a reply of 64 bytes leaves, headers and checksums included. The peer's part is
// not counted. Instructions: bench/tcp_instructions.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "tcp/engine.h"

namespace paste::tcp {
namespace {

constexpr Address kClient = ipv4_mapped(10, 0, 0, 1);
constexpr Address kServer = ipv4_mapped(10, 0, 0, 2);
constexpr size_t kBufferSize = 2048;
constexpr uint32_t kBuffers = 256;

class Side final : public EngineOwner {
 public:
  explicit Side(uint64_t salt)
      : memory_(kBuffers * kBufferSize), engine({}, keys(salt), *this, Instant{1'000'000'000}) {
    for (BufferName b = kBuffers - 1; b > 0; --b) free_.push_back(b);
    holds_.resize(kBuffers);
  }

  void opened(ConnectionId id, uint32_t) override { connection = id; }
  void deliver(ConnectionId, Slice slice) override { delivered = slice; }
  void peer_finished(ConnectionId) override {}
  void closed(ConnectionId, Ending) override {}
  void acknowledged(ConnectionId, Slice slice, uint64_t) override { release(slice.buffer); }
  void release(BufferName b) override {
    if (--holds_[b] == 0) free_.push_back(b);
  }
  void hold(BufferName b, uint32_t n) override { holds_[b] += n; }
  [[nodiscard]] uint32_t free_buffers() const override {
    return static_cast<uint32_t>(free_.size());
  }
  [[nodiscard]] uint64_t draw() override { return 4; }

  BufferName take() {
    const BufferName b = free_.back();
    free_.pop_back();
    holds_[b] = 1;
    return b;
  }
  std::byte* at(BufferName b) { return memory_.data() + b * kBufferSize; }
  // What a card does: the frame lies in a buffer of ours.
  BufferName receive(Bytes frame) {
    const BufferName b = take();
    std::memcpy(at(b), frame.data(), frame.size());
    return b;
  }
  void write(uint16_t length) {
    const BufferName b = take();
    std::memset(at(b), 'x', length);
    PASTE_CHECK(engine.write(connection, {b, 0, length}, 0).has_value());
  }
  void arrive(BufferName buffer, size_t size, Instant now) {
    PASTE_CHECK(!parse_packet(Bytes(at(buffer), size), packet_));
    if (packet_.segment.payload.length == 0) {
      release(buffer);
    } else {
      packet_.segment.payload.buffer = buffer;
    }
    engine.arrive(packet_, now);
  }
  // The headers go where a card would send them from; the payload is not copied.
  bool emit(Instant now) {
    if (!engine.dispatch(now, tuple_, out)) return false;
    header_bytes = emit_packet(tuple_, out, memory_, kBufferSize, headers);
    return true;
  }
  bool more(Instant now) { return engine.dispatch(now, tuple_, spare_); }
  // The last packet, as the wire has it.
  std::vector<std::byte>& frame() {
    frame_.assign(headers.begin(), headers.begin() + static_cast<std::ptrdiff_t>(header_bytes));
    for (const Slice s : out.payload()) {
      frame_.insert(frame_.end(), at(s.buffer) + s.offset, at(s.buffer) + s.offset + s.length);
    }
    return frame_;
  }

 private:
  static EngineKeys keys(uint64_t salt) {
    return {{salt, 1}, {salt, 2}, {salt, 3}, {salt, 4}, {salt, 5}, {salt, 6}};
  }
  std::vector<std::byte> memory_;
  std::vector<BufferName> free_;
  std::vector<uint32_t> holds_;
  std::vector<std::byte> frame_;
  FourTuple tuple_;
  Packet packet_;
  Outgoing spare_;

 public:
  Engine engine;
  ConnectionId connection;
  Slice delivered;
  Outgoing out;
  std::array<std::byte, kHeadersMax> headers{};
  size_t header_bytes = 0;
};

// All that the server does for one request.
__attribute__((noinline)) void serve_request(Side& server, BufferName buffer, size_t size,
                                             Instant now) {
  server.arrive(buffer, size, now);
  const Slice request = server.delivered;
  (void)server.engine.consumed(server.connection, now, request.length, 1);
  server.release(request.buffer);
  server.write(64);
  PASTE_CHECK(server.emit(now));
  PASTE_CHECK(!server.more(now));  // what comes after the last packet is part of the work
}

void exchange(Side& from, Side& to, Instant now) {
  while (from.emit(now)) {
    const auto& frame = from.frame();
    to.arrive(to.receive(frame), frame.size(), now);
  }
}

void request(benchmark::State& state) {
  Side client(1);
  Side server(2);
  Instant now{2'000'000'000};
  PASTE_CHECK(server.engine.listen(80, 0).has_value());
  PASTE_CHECK(client.engine.connect(kClient, kServer, 80, now).has_value());
  for (int i = 0; i < 4; ++i) {
    exchange(client, server, now);
    exchange(server, client, now);
  }
  for ([[maybe_unused]] auto _ : state) {
    now = now + std::chrono::microseconds(20);
    client.write(1024);
    PASTE_CHECK(client.emit(now));
    const auto& frame = client.frame();
    const BufferName buffer = server.receive(frame);
    const size_t size = frame.size();
    const auto begin = std::chrono::steady_clock::now();
    serve_request(server, buffer, size, now);
    const auto end = std::chrono::steady_clock::now();
    state.SetIterationTime(std::chrono::duration<double>(end - begin).count());
    const auto& reply = server.frame();
    client.arrive(client.receive(reply), reply.size(), now);
    client.release(client.delivered.buffer);
    (void)client.engine.consumed(client.connection, now, client.delivered.length, 1);
    exchange(server, client, now);
    exchange(client, server, now);
  }
}
// A fixed number, so that a count of instructions can be divided by it.
BENCHMARK(request)->UseManualTime()->Iterations(20000);

}  // namespace
}  // namespace paste::tcp
