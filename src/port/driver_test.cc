// Goal: timers, wake-ups, several drivers in one loop, polling modes, and the choice between the
// implementations behave as the header says.
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "port/output.h"
#include "port/test_driver.h"
#include "port/timers.h"

namespace paste::port {
namespace {

using std::chrono::seconds;

class TurnTest : public DriverTest {};
INSTANTIATE_TEST_SUITE_P(Kernel, TurnTest, ::testing::Values(Io::uring, Io::epoll), io_name);

uint64_t ms_since(uint64_t begin) { return (base::monotonic_ns() - begin) / 1'000'000; }

TEST_P(TurnTest, TimersFireInOrderAndOnce) {
  open();
  const uint64_t begin = base::monotonic_ns();
  driver_->add_timer(milliseconds(30), 3);
  driver_->add_timer(milliseconds(10), 1);
  const TimerId no = driver_->add_timer(milliseconds(15), 99);
  driver_->add_timer(milliseconds(20), 2);
  driver_->add_timer(milliseconds(0), 0);
  driver_->cancel_timer(no);
  while (count(EventType::timer) < 4 && ms_since(begin) < 5000) turn(seconds(1));
  EXPECT_GE(ms_since(begin), 30u);
  std::vector<uint64_t> cookies;
  for (const Event& event : events_) cookies.push_back(event.cookie);
  EXPECT_EQ(cookies, (std::vector<uint64_t>{0, 1, 2, 3}));
  driver_->cancel_timer(no);
  turn(milliseconds(20));
  EXPECT_EQ(events_.size(), 4u);
}

TEST_P(TurnTest, AQuietTurnTakesItsTimeAndSleeps) {
  open();
  turn(milliseconds(0));
  rusage before{}, after{};
  ::getrusage(RUSAGE_THREAD, &before);
  const uint64_t begin = base::monotonic_ns();
  turn(milliseconds(100));
  EXPECT_GE(ms_since(begin), 99u);
  ::getrusage(RUSAGE_THREAD, &after);
  const auto us = [](const rusage& r) {
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1'000'000 + r.ru_utime.tv_usec +
           r.ru_stime.tv_usec;
  };
  EXPECT_LT(us(after) - us(before), 20'000);
  EXPECT_GE(driver_->stats().sleeps, 1u);
}

TEST_P(TurnTest, BusyAndAdaptiveFindWhatHappens) {
  for (const Polling polling : {Polling::busy, Polling::adaptive}) {
    driver_.reset();
    events_.clear();
    DriverOptions options;
    options.polling = polling;
    open(options);
    const uint64_t begin = base::monotonic_ns();
    turn(milliseconds(5));
    EXPECT_GE(ms_since(begin), 4u);
    EXPECT_EQ(driver_->stats().sleeps > 0, polling == Polling::adaptive);
    const Pair pair = connect_pair(listen("127.0.0.1:0"));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(driver_->send(pair.client, as_bytes("x"), {.after = kUngated}).has_value());
      ASSERT_TRUE(run_until([&] { return take(pair.server) == "x"; }));
    }
  }
}

TEST_P(TurnTest, WakeFromAnotherThread) {
  open();
  turn(milliseconds(0));
  for (int i = 0; i < 3; ++i) {
    const uint64_t begin = base::monotonic_ns();
    std::thread waker([&] {
      std::this_thread::sleep_for(milliseconds(20));
      driver_->wake();
    });
    turn(seconds(5));
    waker.join();
    EXPECT_LT(ms_since(begin), 2000u);
  }
  // One that came before the turn counts too; several count once.
  driver_->wake();
  driver_->wake();
  const uint64_t begin = base::monotonic_ns();
  turn(seconds(5));
  EXPECT_LT(ms_since(begin), 2000u);
  turn(milliseconds(30));
  EXPECT_GE(ms_since(begin), 29u);
}

// The program sleeps on fd() itself, and calls poll(0) when it is readable.
TEST_P(TurnTest, TheDescriptorTellsWhenToPoll) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const auto client = driver_->connect(driver_->local(l));
  ASSERT_TRUE(client.has_value());
  driver_->add_timer(milliseconds(50), 7);
  const int fd = driver_->fd();
  int rounds = 0;
  const uint64_t begin = base::monotonic_ns();
  bool sent = false;
  std::string got;
  while ((got.empty() || count(EventType::timer) == 0) && ms_since(begin) < 5000) {
    pollfd p{fd, POLLIN, 0};
    ASSERT_EQ(::poll(&p, 1, 2000), 1) << "nothing told us";
    turn(milliseconds(0));
    ++rounds;
    if (!sent && count(EventType::opened) == 2) {
      sent = true;
      ASSERT_TRUE(driver_->send(*client, as_bytes("hello")).has_value());
      turn(milliseconds(0));
    }
    if (sent) got += take(last_accepted());
  }
  EXPECT_EQ(got, "hello");
  EXPECT_EQ(count(EventType::timer), 1u);
  EXPECT_LT(rounds, 100);
  // Quiet again.
  for (int i = 0; i < 5; ++i) turn(milliseconds(0));
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 50), 0);
}

TEST_P(TurnTest, SeveralDriversInOneLoop) {
  open();
  DriverOptions options;
  options.io = GetParam();
  auto other = open_driver("kernel", *core_, options);
  ASSERT_TRUE(other.has_value());
  const ListenerId l = listen("127.0.0.1:0");
  const auto client = (*other)->connect(driver_->local(l));
  ASSERT_TRUE(client.has_value());
  ASSERT_TRUE((*other)->send(*client, as_bytes("across"), {.after = kUngated}).has_value());
  Driver* both[] = {driver_.get(), other->get()};
  std::string got;
  ConnectionId server{};
  for (int i = 0; i < 50 && got.size() < 6; ++i) {
    const uint64_t begin = base::monotonic_ns();
    ASSERT_TRUE(poll_all(both, seconds(2)).has_value());
    EXPECT_LT(ms_since(begin), 1900u);
    for (const Event& event : driver_->events()) {
      if (event.type == EventType::opened) server = event.connection;
      if (event.type == EventType::readable) got += take(event.connection);
    }
  }
  EXPECT_EQ(got, "across");
  EXPECT_TRUE(server);
  uint64_t begin = base::monotonic_ns();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(poll_all(both, milliseconds(30)).has_value());
  EXPECT_GE(ms_since(begin), 29u);
  std::thread waker([&] {
    std::this_thread::sleep_for(milliseconds(20));
    both[1]->wake();
  });
  begin = base::monotonic_ns();
  ASSERT_TRUE(poll_all(both, seconds(5)).has_value());
  EXPECT_LT(ms_since(begin), 2000u);
  waker.join();
}

// Adaptive: spins for a while, then sleeps, so a second takes few turns.
TEST_P(TurnTest, SeveralDriversSleepWhenNothingHappens) {
  DriverOptions options;
  options.io = GetParam();
  options.polling = Polling::adaptive;
  options.spin = std::chrono::microseconds(50);
  open(options);
  auto other = open_driver("kernel", *core_, options);
  ASSERT_TRUE(other.has_value());
  Driver* both[] = {driver_.get(), other->get()};
  const uint64_t begin = base::monotonic_ns();
  uint64_t returns = 0;
  for (; ms_since(begin) < 200; ++returns) {
    ASSERT_TRUE(poll_all(both, milliseconds(100)).has_value());
  }
  EXPECT_LT(returns, 50u);
}

// Rings are registered with the thread, which has few places for them: they must come back.
TEST_P(TurnTest, ManyDriversOneAfterTheOther) {
  for (int i = 0; i < 40; ++i) {
    driver_.reset();
    open({}, make_core(1u << 20));
    turn(milliseconds(0));
  }
  EXPECT_EQ(driver_->stats().polls, 1u);
}

TEST(OpenDriver, ChoosesAndRefusesInWords) {
  auto core = make_core(1u << 20);
  const auto unknown = open_driver("carrier-pigeon", *core, {});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code(), Code::invalid);
  EXPECT_NE(unknown.error().message().find("allowed are kernel and xdp:INTERFACE"),
            std::string::npos);
  DriverOptions none;
  none.limits.connections_max = 0;
  EXPECT_EQ(open_driver("kernel", *core, none).error().code(), Code::invalid);
  const std::string reason = uring_unavailable_reason();
  const auto automatic = open_driver("kernel", *core, {});
  ASSERT_TRUE(automatic.has_value());
  EXPECT_EQ((*automatic)->description(), reason.empty() ? "kernel (io_uring)" : "kernel (epoll)");
}

// Against a naive twin: a string and a list of tickets.
TEST(Output, AgreesWithANaiveQueue) {
  auto core = make_core(1u << 20);
  OutputStock stock(*core);
  Output output;
  std::string model;                  // the bytes
  std::vector<uint64_t> model_after;  // of each
  const uint64_t seed = base::monotonic_ns();
  std::printf("SEED=%llu\n", static_cast<unsigned long long>(seed));
  uint64_t state = seed | 1;
  const auto random = [&](uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  const BufferName name = core->take(pool::Purpose::data).value();
  for (uint32_t i = 0; i < core->buffer_size(); ++i) {
    core->buffer(name)[i] = static_cast<std::byte>(random(256));
  }
  uint64_t durable = 0;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t after = durable + random(3);
    const uint64_t effective = model_after.empty() ? after : std::max(after, model_after.back());
    if (random(3) == 0 && model.size() < 50'000) {
      const std::string bytes(random(10) == 0 ? random(9000) : random(200),
                              static_cast<char>(random(256)));
      output.append(as_bytes(bytes), Ticket{after}, stock);
      model += bytes;
      model_after.insert(model_after.end(), bytes.size(), effective);
    } else if (random(2) == 0 && model.size() < 50'000) {
      const auto offset = static_cast<uint16_t>(random(1000));
      const Slice slice{name, offset, static_cast<uint16_t>(1 + random(1000))};
      output.append(slice, Ticket{after}, stock);
      model += as_text(core->bytes(slice));
      model_after.insert(model_after.end(), slice.length, effective);
    } else {
      durable += random(3) == 0 ? 1 : 0;
      iovec pieces[8];
      uint64_t total = 0;
      const uint32_t n = output.gather(Ticket{durable}, 1 + random(5000), pieces, total);
      std::string got;
      for (uint32_t i = 0; i < n; ++i) {
        got.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
      }
      ASSERT_EQ(got.size(), total);
      ASSERT_EQ(got, model.substr(0, total));
      if (total > 0) {
        ASSERT_LE(model_after[total - 1], durable);
      }
      if (total == 0 && !model.empty()) {
        ASSERT_GT(model_after[0], durable);
      }
      const uint64_t gone = random(total + 1);
      output.pop(gone, stock);
      model.erase(0, gone);
      model_after.erase(model_after.begin(), model_after.begin() + static_cast<ptrdiff_t>(gone));
    }
    ASSERT_EQ(output.bytes(), model.size());
    ASSERT_EQ(output.empty(), model.empty());
  }
  output.clear(stock);
  EXPECT_EQ(core->holds(name), 1u);
  core->release(name);
}

TEST(Timers, AgreeWithASortedList) {
  Timers timers;
  std::vector<std::pair<uint64_t, uint64_t>> model;  // deadline, cookie
  std::vector<TimerId> ids;
  uint64_t state = 42, now = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t deadline = now + (state >> 40) % 50;
    ids.push_back(timers.add(deadline, i));
    model.emplace_back(deadline, i);
    if ((state >> 33) % 4 == 0) {
      const size_t victim = (state >> 35) % ids.size();
      timers.cancel(ids[victim]);
      std::erase_if(model, [&](const auto& t) { return t.second == victim; });
    }
    now += (state >> 50) % 5;
    std::stable_sort(model.begin(), model.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    while (const auto cookie = timers.take_due(now)) {
      ASSERT_FALSE(model.empty());
      ASSERT_EQ(model.front().second, *cookie);
      model.erase(model.begin());
    }
    ASSERT_TRUE(model.empty() || model.front().first > now);
    ASSERT_EQ(timers.next_ns(), model.empty() ? UINT64_MAX : model.front().first);
  }
}

}  // namespace
}  // namespace paste::port
