// Goal: what a connection costs, and what an attacker off the path can do. Method: an engine is fed
// segments directly; its allocations are counted.
#include <gtest/gtest.h>
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "tcp/engine.h"
#include "tcp/test_random.h"

namespace {
uint64_t allocations = 0;
}  // namespace

// Every operator new of this program counts.
void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace paste::tcp {
namespace {

EngineOptions options_for(uint32_t connections, uint32_t in_flight = 0) {
  EngineOptions options;
  options.connections_max = connections;
  options.in_flight_max = in_flight;
  options.half_open_max = options.time_wait_max = 64;
  return options;
}

constexpr Address kServer = ipv4_mapped(10, 0, 0, 1);

class Server final : public EngineOwner {
 public:
  explicit Server(const EngineOptions& options)
      : engine(options, {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}}, *this, now) {
    EXPECT_TRUE(engine.listen(80, 0).has_value());
  }
  void opened(ConnectionId id, uint32_t) override {
    last = id;
    ++opened_count;
  }
  void deliver(ConnectionId, Slice slice) override { delivered = slice; }
  void peer_finished(ConnectionId) override {}
  void closed(ConnectionId, Ending) override { ++closed_count; }
  void acknowledged(ConnectionId, Slice, uint64_t) override {}
  void release(BufferName) override {}
  void hold(BufferName, uint32_t) override {}
  [[nodiscard]] uint32_t free_buffers() const override { return 4096; }
  [[nodiscard]] uint64_t draw() override { return draws += 0x9E3779B97F4A7C15; }

  static Packet packet(uint32_t client, uint8_t flags, Seq seq, Seq ack = {}) {
    Packet p;
    p.tuple = {.local = kServer,
               .remote = ipv4_mapped(172, static_cast<uint8_t>(client >> 24),
                                     static_cast<uint8_t>(client >> 16), 1),
               .local_port = 80,
               .remote_port = static_cast<uint16_t>(client)};
    p.segment.seq = seq;
    p.segment.ack = ack;
    p.segment.flags = flags;
    p.segment.window = 60'000;
    return p;
  }
  // A whole handshake; our initial number.
  Seq accept(uint32_t client) {
    Packet syn = packet(client, kSyn, Seq{client});
    syn.segment.options.mss = 1460;
    syn.segment.options.sack_permitted = true;
    engine.arrive(syn, now);
    EXPECT_TRUE(engine.dispatch(now, tuple, out));
    const Seq iss = out.header.seq;
    engine.arrive(packet(client, kAck, Seq{client} + 1, iss + 1), now);
    EXPECT_FALSE(engine.dispatch(now, tuple, out));
    return iss;
  }

  Instant now{5'000'000'000};
  Engine engine;
  FourTuple tuple;
  Outgoing out;
  ConnectionId last;
  Slice delivered;
  uint64_t opened_count = 0, closed_count = 0, draws = 0;
};

TEST(EngineScale, AMillionIdleConnectionsInHalfAKilobyteEach) {
  constexpr uint32_t kCount = 1'000'000;
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  {
    Server server(options_for(kCount));
    const auto begin = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < kCount; ++i) (void)server.accept(i * 3);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(server.opened_count, kCount);
    EXPECT_EQ(server.engine.connections(), kCount);
    const size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    std::printf("%zu bytes a connection, hash slot and timer included; %.0f accepted a second\n",
                used / kCount, kCount / took.count());
    EXPECT_LE(used / kCount, 512U);
    EXPECT_LE(sizeof(Connection), 384U);
  }
}

TEST(EngineScale, SteadyStateAllocatesNothing) {
  Server server(options_for(16));
  const Seq iss = server.accept(77);
  Seq theirs = Seq{77} + 1, ours = iss + 1;
  const auto exchange = [&] {
    server.now = server.now + std::chrono::microseconds(50);
    Packet request = Server::packet(77, kAck | kPsh, theirs, ours);
    request.segment.payload = {5, 0, 1024};
    server.engine.arrive(request, server.now);
    theirs += 1024;
    ASSERT_TRUE(server.engine.consumed(server.last, server.now, 1024, 1).has_value());
    ASSERT_TRUE(server.engine.write(server.last, {6, 0, 64}, 0).has_value());
    while (server.engine.dispatch(server.now, server.tuple, server.out)) {
    }
    ours += 64;
  };
  for (int i = 0; i < 100; ++i) exchange();
  const uint64_t before = allocations;
  for (int i = 0; i < 10'000; ++i) exchange();
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(server.engine.find(server.last)->state(), State::established);
}

// RFC 5961: whoever does not see the connection cannot end it, nor put bytes into it.
TEST(EngineScale, BlindSegmentsEndNothing) {
  Server server(options_for(16));
  const Seq iss = server.accept(77);
  TestRandom random(5961);
  const uint8_t kFlags[] = {kRst, kRst | kAck, kSyn, kSyn | kAck, kAck, kAck | kPsh, kFin | kAck};
  for (int i = 0; i < 200'000; ++i) {
    server.now = server.now + std::chrono::microseconds(20);
    Packet blind =
        Server::packet(77, kFlags[random.below(7)], Seq{static_cast<uint32_t>(random.word())},
                       Seq{static_cast<uint32_t>(random.word())});
    // The guesses that would be right are left out: one in 2^32, and data in the window that
    // acknowledges what was sent, which is one in 2^32, too.
    if (blind.segment.seq == Seq{78}) continue;
    const auto near = blind.segment.ack - (iss + 1);
    if (near <= 0 && near > -70'000) continue;
    if (random.below(2) == 0) blind.segment.payload = {9, 0, 100};
    server.engine.arrive(blind, server.now);
    while (server.engine.dispatch(server.now, server.tuple, server.out)) {
      EXPECT_FALSE(server.out.header.has(kRst));
    }
  }
  ASSERT_NE(server.engine.find(server.last), nullptr);
  EXPECT_EQ(server.engine.find(server.last)->state(), State::established);
  EXPECT_EQ(server.engine.find(server.last)->rcv_nxt(), Seq{78});
  EXPECT_EQ(server.delivered.length, 0);
  EXPECT_EQ(server.closed_count, 0U);
}

// More connections with data in flight than the engine may track: an error, and room comes back.
TEST(EngineScale, InFlightIsBounded) {
  Server server(options_for(64, 4));
  std::vector<ConnectionId> ids;
  std::vector<Seq> numbers;
  for (uint32_t i = 0; i < 8; ++i) {
    numbers.push_back(server.accept(1000 + i));
    ids.push_back(server.last);
  }
  for (uint32_t i = 0; i < 8; ++i) {
    const auto written = server.engine.write(ids[i], {1, 0, 100}, 0);
    EXPECT_EQ(written.has_value(), i < 4);
    if (!written) {
      EXPECT_EQ(written.error().code(), Code::busy);
    }
  }
  // A close needs to send, too: it waits its turn.
  EXPECT_TRUE(server.engine.shutdown(ids[7]).has_value());
  while (server.engine.dispatch(server.now, server.tuple, server.out)) {
  }
  server.engine.arrive(Server::packet(1000, kAck, Seq{1001}, numbers[0] + 101), server.now);
  bool fin = false;
  for (int i = 0; i < 50 && !fin; ++i) {
    server.now = server.now + std::chrono::milliseconds(5);
    while (server.engine.dispatch(server.now, server.tuple, server.out)) {
      fin = fin || server.out.header.has(kFin);
    }
  }
  EXPECT_TRUE(fin);
}

}  // namespace
}  // namespace paste::tcp
