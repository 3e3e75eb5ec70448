// Goal: every bound holds, and what hits one recovers. Steady work allocates nothing, and idle
// connections are cheap.
// Method: small limits and tiny pools; operator new counts.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "port/test_driver.h"

namespace {
std::atomic<uint64_t> allocations = 0;
std::atomic<int64_t> allocated_bytes = 0;
}  // namespace

void* operator new(size_t n) {
  ++allocations;
  allocated_bytes += static_cast<int64_t>(n);
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t n, const std::nothrow_t&) noexcept {
  ++allocations;
  allocated_bytes += static_cast<int64_t>(n);
  return std::malloc(n);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, size_t n) noexcept {
  allocated_bytes -= static_cast<int64_t>(n);
  std::free(p);
}

namespace paste::port {
namespace {

class LimitsTest : public DriverTest {};
INSTANTIATE_TEST_SUITE_P(Kernel, LimitsTest, ::testing::Values(Io::uring, Io::epoll), io_name);

int dial(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST_P(LimitsTest, ConnectionsBeyondTheMaximumAreClosedAndCounted) {
  DriverOptions options;
  options.limits.connections_max = 3;
  open(options);
  const ListenerId l = listen("127.0.0.1:0");
  int fds[5];
  for (int& fd : fds) fd = dial(driver_->local(l).port);
  ASSERT_TRUE(run_until([&] { return driver_->stats().refused_limit == 2; }));
  EXPECT_EQ(driver_->stats().connections, 3u);
  EXPECT_EQ(driver_->connect(driver_->local(l)).error().code(), Code::too_large);
  int ended = 0;
  for (const int fd : fds) {
    char byte;
    ended += ::recv(fd, &byte, 1, MSG_DONTWAIT) == 0 ? 1 : 0;
  }
  EXPECT_EQ(ended, 2);
  // One goes: there is room again.
  ASSERT_TRUE(driver_->abort(last_accepted()).has_value());
  ASSERT_TRUE(run_until([&] { return driver_->stats().connections == 2; }));
  const int fd = dial(driver_->local(l).port);
  EXPECT_TRUE(run_until([&] { return accepted_count() == 4; }));
  for (const int f : fds) ::close(f);
  ::close(fd);
}

TEST_P(LimitsTest, QueuesAreBoundedAndWritableTells) {
  DriverOptions options;
  options.limits.connection_send_max = 100'000;
  options.limits.send_max = 150'000;
  open(options);
  const ListenerId l = listen("127.0.0.1:0");
  const Pair a = connect_pair(l);
  const Pair b = connect_pair(l);
  commit_ = false;
  const std::string part(60'000, 'x');
  ASSERT_TRUE(driver_->send(a.client, as_bytes(part)).has_value());
  EXPECT_EQ(driver_->send(a.client, as_bytes(part)).error().code(), Code::busy);
  ASSERT_TRUE(driver_->send(b.client, as_bytes(part)).has_value());
  // The total is what stops this one.
  EXPECT_EQ(driver_->send(b.server, as_bytes(part)).error().code(), Code::busy);
  EXPECT_EQ(driver_->stats().send_queued, 120'000u);
  run_for(milliseconds(10));
  EXPECT_EQ(count(EventType::writable), 0u);
  commit_ = true;
  ASSERT_TRUE(core_->commit().has_value());
  EXPECT_TRUE(run_until([&] {
    return count(EventType::writable, a.client) == 1 && count(EventType::writable, b.server) == 1;
  }));
  EXPECT_EQ(count(EventType::writable), 2u);
  ASSERT_TRUE(driver_->send(b.server, as_bytes(part)).has_value());
}

// All buffers that may be received into are kept by the program: nothing arrives, nothing is lost,
// nothing spins; when they come back, everything goes on.
TEST_P(LimitsTest, ATinyPoolRunsOutAndRecovers) {
  open({}, make_core(512 * 1024));
  const ListenerId l = listen("127.0.0.1:0");
  const Pair pairs[2] = {connect_pair(l), connect_pair(l)};
  constexpr uint64_t kTotal = 1u << 20;
  const std::string all(kTotal, 'z');
  for (const Pair& p : pairs) {
    ASSERT_TRUE(driver_->send(p.client, as_bytes(all), {.after = kUngated}).has_value());
  }
  run_for(milliseconds(50));
  EXPECT_GT(driver_->stats().receive_buffers_exhausted, 0u);
  const uint64_t polls = driver_->stats().polls;
  const uint64_t exhausted = driver_->stats().receive_buffers_exhausted;
  turn(milliseconds(200));
  turn(milliseconds(200));
  EXPECT_LE(driver_->stats().polls - polls, 2u);
  EXPECT_LE(driver_->stats().receive_buffers_exhausted - exhausted, 8u);
  uint64_t taken = 0;
  EXPECT_TRUE(run_until([&] {
    for (const Pair& p : pairs) taken += take(p.server).size();
    return taken == 2 * kTotal;
  }));
}

TEST_P(LimitsTest, OutOfDescriptorsIsSurvived) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own check of memory opens a pipe, and reports when it cannot";
#endif
  open();
  const ListenerId l = listen("127.0.0.1:0");
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  std::vector<int> fds;
  for (int i = 0; i < 4; ++i) fds.push_back(dial(driver_->local(l).port));
  // No further descriptor can be had.
  const int highest = ::dup(0);
  ::close(highest);
  rlimit none{static_cast<rlim_t>(highest), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  run_for(milliseconds(50));
  EXPECT_GT(driver_->stats().accept_errors, 0u);
  EXPECT_LT(driver_->stats().accept_errors, 10u);  // it does not spin
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(run_until([&] { return accepted_count() == 4; }));
  for (const int fd : fds) ::close(fd);
}

TEST_P(LimitsTest, SteadyRequestsAllocateNothing) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  constexpr size_t kPairs = 16;
  std::vector<Pair> pairs;
  for (size_t i = 0; i < kPairs; ++i) pairs.push_back(connect_pair(l));
  const std::string request(1024, 'r'), reply(150, 'p');
  const auto rounds = [&](int n) {
    for (int i = 0; i < n; ++i) {
      for (const Pair& p : pairs) {
        (void)driver_->send(p.client, as_bytes(request), {.after = kUngated});
      }
      for (size_t done = 0; done < kPairs;) {
        if (!driver_->poll(milliseconds(5))) return;
        for (const Event& event : driver_->events()) {
          if (event.type != EventType::readable) continue;
          uint64_t bytes = 0;
          Slice first{};
          for (const Slice slice : driver_->received(event.connection)) {
            if (bytes == 0) first = slice;
            bytes += slice.length;
          }
          if (event.listener != 0) {
            (void)driver_->send(event.connection, as_bytes(reply));
            (void)driver_->send(event.connection, std::span(&first, 1));
          } else if (bytes >= reply.size() + request.size()) {
            ++done;
          } else {
            continue;
          }
          driver_->consume(event.connection, bytes);
        }
        (void)core_->commit();
      }
    }
  };
  rounds(50);
  const uint64_t before = allocations;
  rounds(200);
  EXPECT_EQ(allocations - before, 0u);
}

TEST_P(LimitsTest, IdleConnectionsAreCheap) {
  constexpr int kConnections = 2000;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  rlimit more{std::max<rlim_t>(files.rlim_cur, std::min<rlim_t>(files.rlim_max, 8192)),
              files.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &more);
  if (more.rlim_cur < 2 * kConnections + 100) GTEST_SKIP() << "too few descriptors are allowed";
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const int64_t before = allocated_bytes;
  std::vector<int> fds;
  // Each has served a request before it fell idle.
  on_event_ = [&](const Event& event) {
    if (event.type == EventType::readable) {
      (void)driver_->send(event.connection, as_bytes(take(event.connection)));
    }
  };
  fds.reserve(kConnections);
  for (int i = 0; i < kConnections; ++i) {
    fds.push_back(dial(driver_->local(l).port));
    ASSERT_EQ(::write(fds.back(), "hello", 5), 5);
    if (i % 100 == 99) {
      ASSERT_TRUE(run_until([&] { return accepted_count() == fds.size(); }));
      events_.reserve(4 * kConnections);
    }
  }
  ASSERT_TRUE(run_until([&] { return driver_->stats().sent_bytes == 5 * kConnections; }));
  const int64_t events = static_cast<int64_t>(events_.capacity() * sizeof(Event));
  const int64_t each =
      (allocated_bytes - before - events - static_cast<int64_t>(fds.capacity() * sizeof(int))) /
      kConnections;
  // The table itself is reserved ahead (its places are about 250 bytes).
  EXPECT_LE(each, 3072 - 256);
  for (const int fd : fds) ::close(fd);
}

}  // namespace
}  // namespace paste::port
