// Goal: streams carry every byte, in order, in both directions, and end as they should.
// Method: the driver connects to itself, or to plain blocking sockets in a thread; both kernel
// implementations run every test. Teardown checks that no buffer is lost.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "base/crc32c.h"
#include "port/test_driver.h"

namespace paste::port {
namespace {

class StreamTest : public DriverTest {};
INSTANTIATE_TEST_SUITE_P(Kernel, StreamTest, ::testing::Values(Io::uring, Io::epoll), io_name);

int dial_blocking(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string read_to_end(int fd) {
  std::string all;
  char part[65536];
  for (;;) {
    const ssize_t n = ::read(fd, part, sizeof part);
    if (n <= 0) return n == 0 ? all : all + "<error>";
    all.append(part, static_cast<size_t>(n));
  }
}

TEST_P(StreamTest, EchoesToBlockingClients) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  on_event_ = [&](const Event& event) {
    if (event.type == EventType::readable) {
      const std::string text = take(event.connection);
      ASSERT_TRUE(driver_->send(event.connection, as_bytes(text)).has_value());
    } else if (event.type == EventType::peer_closed) {
      ASSERT_TRUE(driver_->close(event.connection).has_value());
    }
  };
  constexpr int kClients = 8;
  std::vector<std::thread> clients;
  std::atomic<int> good = 0;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      const int fd = dial_blocking(driver_->local(l).port);
      std::string all, back;
      for (int j = 0; j < 50; ++j) {
        const std::string text =
            std::to_string(i) + ":" + std::string(1000, static_cast<char>('a' + j % 26)) + "\n";
        if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) break;
        all += text;
        while (back.size() < all.size()) {
          char part[4096];
          const ssize_t n = ::read(fd, part, sizeof part);
          if (n <= 0) break;
          back.append(part, static_cast<size_t>(n));
        }
      }
      ::shutdown(fd, SHUT_WR);
      back += read_to_end(fd);
      if (back == all && all.size() > 50'000) ++good;
      ::close(fd);
    });
  }
  EXPECT_TRUE(run_until([&] { return count(EventType::closed) == kClients; }));
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, kClients);
  for (const Event& e : events_) {
    if (e.type != EventType::closed) continue;
    EXPECT_EQ(e.reason, CloseReason::done);
  }
  turn();
  EXPECT_EQ(driver_->stats().connections, 0u);
  EXPECT_TRUE(driver_->idle());
}

// 24 MB each way at once through bounded queues: backpressure both ways, hashes agree.
TEST_P(StreamTest, LargeTransfersBothWays) {
  DriverOptions options;
  options.limits.connection_send_max = 1u << 20;
  open(options);
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  constexpr uint64_t kTotal = 24u << 20;
  struct Side {
    ConnectionId id;
    uint64_t given = 0, taken = 0;
    uint32_t crc_given = base::kCrcInit, crc_taken = base::kCrcInit;
    uint64_t state;
    bool ended = false;
  };
  Side sides[2] = {{.id = pair.client, .state = 1}, {.id = pair.server, .state = 2}};
  std::string block;
  const auto push = [&](Side& side) {
    while (side.given < kTotal) {
      block.clear();
      const size_t n = 1 + side.state % 100'000;
      for (size_t i = 0; i < n; ++i) {
        side.state = side.state * 6364136223846793005u + 1442695040888963407u;
        block.push_back(static_cast<char>(side.state >> 56));
      }
      const auto sent = driver_->send(side.id, as_bytes(block), {.after = kUngated});
      if (!sent) {
        EXPECT_EQ(sent.error().code(), Code::busy);
        return;
      }
      side.given += n;
      side.crc_given = base::crc32c_extend(side.crc_given, as_bytes(block));
    }
    if (!side.ended) {
      side.ended = true;
      EXPECT_TRUE(driver_->shutdown(side.id).has_value());
    }
  };
  on_event_ = [&](const Event& event) {
    for (Side& side : sides) {
      if (event.connection != side.id) continue;
      if (event.type == EventType::writable) push(side);
      if (event.type != EventType::readable) continue;
      uint64_t n = 0;
      for (const Slice slice : driver_->received(side.id)) {
        side.crc_taken = base::crc32c_extend(side.crc_taken, core_->bytes(slice));
        n += slice.length;
      }
      side.taken += n;
      driver_->consume(side.id, n);
    }
  };
  push(sides[0]);
  push(sides[1]);
  EXPECT_GT(driver_->queued(pair.client), 0u);
  EXPECT_LE(driver_->queued(pair.client), options.limits.connection_send_max);
  EXPECT_TRUE(run_until([&] { return count(EventType::closed) == 2; }));
  EXPECT_EQ(sides[0].given, sides[1].taken);
  EXPECT_EQ(sides[1].given, sides[0].taken);
  EXPECT_EQ(sides[0].crc_given, sides[1].crc_taken);
  EXPECT_EQ(sides[1].crc_given, sides[0].crc_taken);
  EXPECT_GT(count(EventType::writable), 0u);
  EXPECT_EQ(last(EventType::closed, pair.client).reason, CloseReason::done);
}

// Stored bytes are sent as they lie, mixed with copied ones, in order.
TEST_P(StreamTest, SlicesAndBytesKeepOrder) {
  open();
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  std::string expected;
  BufferName names[3];
  for (BufferName& name : names) {
    name = core_->take(pool::Purpose::data).value();
    std::fill_n(reinterpret_cast<char*>(core_->buffer(name)), 2048,
                static_cast<char>('a' + name % 26));
  }
  for (uint16_t i = 0; i < 300; ++i) {
    const std::string text = "<" + std::to_string(i) + ">";
    const Slice slice{names[i % 3], i, static_cast<uint16_t>(i % 5 == 0 ? 0 : 1 + i)};
    ASSERT_TRUE(driver_->send(pair.client, as_bytes(text)).has_value());
    ASSERT_TRUE(driver_->send(pair.client, std::span(&slice, 1)).has_value());
    expected += text;
    expected += as_text(core_->bytes(slice));
  }
  for (const BufferName name : names) core_->release(name);  // the driver has its own holds
  ASSERT_TRUE(core_->commit().has_value());
  std::string got;
  EXPECT_TRUE(run_until([&] {
    got += take(pair.server);
    return got.size() >= expected.size();
  }));
  EXPECT_EQ(got, expected);
}

TEST_P(StreamTest, HalfCloseByThePeerStillGetsAnAnswer) {
  open();
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  ASSERT_TRUE(driver_->send(pair.client, as_bytes("question")).has_value());
  ASSERT_TRUE(driver_->shutdown(pair.client).has_value());
  EXPECT_FALSE(driver_->send(pair.client, as_bytes("more")).has_value());
  EXPECT_TRUE(run_until([&] { return count(EventType::peer_closed, pair.server) == 1; }));
  EXPECT_EQ(take(pair.server), "question");
  ASSERT_TRUE(driver_->send(pair.server, as_bytes("answer")).has_value());
  run_for(milliseconds(20));
  EXPECT_EQ(take(pair.client), "answer");
  EXPECT_EQ(count(EventType::closed), 0u);
  ASSERT_TRUE(driver_->shutdown(pair.server).has_value());
  EXPECT_TRUE(run_until([&] { return count(EventType::closed) == 2; }));
  EXPECT_EQ(last(EventType::closed, pair.server).reason, CloseReason::done);
}

TEST_P(StreamTest, CloseSendsWhatIsQueuedAndDropsWhatArrives) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const int fd = dial_blocking(driver_->local(l).port);
  ASSERT_TRUE(run_until([&] { return accepted_count() == 1; }));
  const ConnectionId server = last_accepted();
  // What the client sends now would reset a connection that was closed with unread bytes.
  const std::string noise(300'000, 'n');
  std::thread client(
      [&] { [[maybe_unused]] const ssize_t n = ::write(fd, noise.data(), noise.size()); });
  ASSERT_TRUE(run_until([&] { return count(EventType::readable, server) > 0; }));
  const std::string farewell(200'000, 'f');
  ASSERT_TRUE(driver_->send(server, as_bytes(farewell)).has_value());
  ASSERT_TRUE(driver_->close(server).has_value());
  EXPECT_TRUE(driver_->received(server).empty());
  EXPECT_EQ(driver_->send(server, as_bytes("x")).error().code(), Code::closed);
  std::string got;
  std::thread reader([&] {
    client.join();
    got = read_to_end(fd);
    ::close(fd);
  });
  EXPECT_TRUE(run_until([&] { return count(EventType::closed, server) == 1; }));
  reader.join();
  EXPECT_EQ(got.size(), farewell.size());
  EXPECT_EQ(got, farewell);
  EXPECT_EQ(last(EventType::closed, server).reason, CloseReason::done);
}

// A peer that never closes cannot keep a closed connection for ever.
TEST_P(StreamTest, CloseEndsWithoutThePeer) {
  open();
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  ASSERT_TRUE(driver_->close(pair.server).has_value());
  EXPECT_TRUE(run_until([&] { return count(EventType::closed, pair.server) == 1; }));
  EXPECT_EQ(count(EventType::peer_closed, pair.client), 1u);
}

TEST_P(StreamTest, ResetByThePeer) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const int fd = dial_blocking(driver_->local(l).port);
  ASSERT_EQ(::write(fd, "abc", 3), 3);
  ASSERT_TRUE(run_until([&] { return count(EventType::readable) == 1; }));
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd);
  EXPECT_TRUE(run_until([&] { return count(EventType::closed) == 1; }));
  const Event closed = last(EventType::closed);
  EXPECT_EQ(closed.reason, CloseReason::reset);
  EXPECT_EQ(closed.os_error, ECONNRESET);
  EXPECT_EQ(closed.connection, last_accepted());
}

TEST_P(StreamTest, AbortResetsThePeerAndDropsTheQueue) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const int fd = dial_blocking(driver_->local(l).port);
  ASSERT_TRUE(run_until([&] { return accepted_count() == 1; }));
  const ConnectionId id = last_accepted();
  commit_ = false;
  ASSERT_TRUE(driver_->send(id, as_bytes(std::string(100'000, 'x'))).has_value());
  ASSERT_TRUE(driver_->abort(id).has_value());
  EXPECT_EQ(driver_->abort(id).error().code(), Code::closed);
  char byte;
  EXPECT_EQ(::read(fd, &byte, 1), -1);
  EXPECT_EQ(errno, ECONNRESET);
  ::close(fd);
  turn();
  EXPECT_EQ(last(EventType::closed, id).reason, CloseReason::local);
  EXPECT_TRUE(run_until([&] { return driver_->stats().connections == 0; }));
  EXPECT_TRUE(driver_->idle());
}

// While a long send is under way, and with a receive armed.
TEST_P(StreamTest, AbortDuringASend) {
  open();
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  driver_->pause(pair.client);
  ASSERT_TRUE(driver_->send(pair.server, as_bytes(std::string(4u << 20, 'x')), {.after = kUngated})
                  .has_value());
  run_for(milliseconds(20));
  EXPECT_GT(driver_->queued(pair.server), 0u);
  ASSERT_TRUE(driver_->abort(pair.server).has_value());
  driver_->resume(pair.client);
  // What had arrived comes before the reset.
  EXPECT_TRUE(run_until([&] {
    (void)take(pair.client);
    return count(EventType::closed) == 2;
  }));
  EXPECT_EQ(last(EventType::closed, pair.client).reason, CloseReason::reset);
  EXPECT_TRUE(run_until([&] { return driver_->stats().connections == 0; }));
  EXPECT_EQ(driver_->stats().send_queued, 0u);
}

TEST_P(StreamTest, PauseClosesTheWindowAndResumeOpensIt) {
  open();
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  driver_->pause(pair.server);
  turn();
  const std::string block(1u << 20, 'p');
  uint64_t given = 0;
  // The kernel's two buffers fill, then nothing moves any more.
  const auto fill = [&] {
    while (driver_->send(pair.client, as_bytes(block), {.after = kUngated}).has_value()) {
      given += block.size();
    }
  };
  fill();
  for (uint64_t before = 1, now = 0; before != now;) {
    before = driver_->stats().sent_bytes;
    run_for(milliseconds(50));
    fill();
    now = driver_->stats().sent_bytes;
  }
  EXPECT_EQ(driver_->stats().received_bytes, 0u);
  EXPECT_GT(driver_->queued(pair.client), 0u);
  driver_->resume(pair.server);
  uint64_t taken = 0;
  EXPECT_TRUE(run_until([&] {
    taken += take(pair.server).size();
    return taken == given;
  }));
}

TEST_P(StreamTest, ReadingPausesByItselfWhenNothingIsConsumed) {
  DriverOptions options;
  options.limits.connection_receive_max = 64 * 1024;
  options.limits.receive_buffers = 256;
  open(options);
  const Pair pair = connect_pair(listen("127.0.0.1:0"));
  constexpr uint64_t kTotal = 8u << 20;
  for (int i = 0; i < 4; ++i) {
    const std::string part(2u << 20, static_cast<char>('0' + i));
    const auto sent = driver_->send(pair.client, as_bytes(part), {.after = kUngated});
    if (!sent) {
      ASSERT_TRUE(run_until([&] { return driver_->queued(pair.client) < (1u << 20); }));
    }
    run_for(milliseconds(30));
    uint64_t waiting = 0;
    for (const Slice slice : driver_->received(pair.server)) waiting += slice.length;
    // What was under way when the bound was met is at most what was posted.
    EXPECT_GE(waiting, options.limits.connection_receive_max);
    EXPECT_LE(waiting, options.limits.connection_receive_max + 256 * 2048);
    if (i == 1) break;
  }
  uint64_t taken = 0;
  EXPECT_TRUE(run_until([&] {
    taken += take(pair.server).size();
    return taken == kTotal / 2;
  }));
}

TEST_P(StreamTest, StaleHandlesAreHarmless) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const Pair first = connect_pair(l);
  ASSERT_TRUE(driver_->abort(first.client).has_value());
  ASSERT_TRUE(run_until([&] { return driver_->stats().connections == 0; }));
  const Pair second = connect_pair(l);
  for (const ConnectionId dead :
       {first.client, first.server, ConnectionId{}, ConnectionId{9999, 1}}) {
    EXPECT_EQ(driver_->send(dead, as_bytes("x")).error().code(), Code::closed);
    EXPECT_EQ(driver_->shutdown(dead).error().code(), Code::closed);
    EXPECT_EQ(driver_->close(dead).error().code(), Code::closed);
    EXPECT_EQ(driver_->abort(dead).error().code(), Code::closed);
    EXPECT_TRUE(driver_->received(dead).empty());
    EXPECT_EQ(driver_->queued(dead), 0u);
    EXPECT_EQ(driver_->peer(dead), "");
    driver_->consume(dead, 10);
    driver_->pause(dead);
    driver_->resume(dead);
  }
  ASSERT_TRUE(driver_->send(second.client, as_bytes("alive")).has_value());
  EXPECT_TRUE(run_until([&] { return take(second.server) == "alive"; }));
}

TEST_P(StreamTest, ChurnOfConnectionsLosesNothing) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  on_event_ = [&](const Event& event) {
    if (event.listener == 0) return;
    if (event.type == EventType::readable) {
      ASSERT_TRUE(driver_->send(event.connection, as_bytes(take(event.connection))).has_value());
      ASSERT_TRUE(driver_->close(event.connection).has_value());
    }
  };
  std::atomic<int> good = 0;
  std::thread client([&] {
    for (int i = 0; i < 300; ++i) {
      const int fd = dial_blocking(driver_->local(l).port);
      const std::string text = "hello " + std::to_string(i);
      if (::write(fd, text.data(), text.size()) > 0 && read_to_end(fd) == text) ++good;
      ::close(fd);
    }
  });
  EXPECT_TRUE(run_until([&] { return count(EventType::closed) == 300; }));
  client.join();
  EXPECT_EQ(good, 300);
}

}  // namespace
}  // namespace paste::port
