// A pool in memory, a driver on it, and the few moves that tests of drivers repeat.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "pmem/region.h"
#include "pmem/shadow.h"
#include "pool/core.h"
#include "port/driver.h"

namespace paste::port {

using std::chrono::milliseconds;

inline std::unique_ptr<pool::Core> make_core(std::unique_ptr<pmem::Region> region) {
  EXPECT_TRUE(pool::Core::create(*region, {}).has_value());
  auto core = pool::Core::open(std::move(region));
  EXPECT_TRUE(core.has_value()) << core.error().message();
  EXPECT_TRUE((*core)->finish_recovery().has_value());
  return std::move(*core);
}

inline std::unique_ptr<pool::Core> make_core(uint64_t bytes = 32u << 20) {
  auto region = pmem::anonymous_region(bytes);
  EXPECT_TRUE(region.has_value());
  return make_core(std::move(*region));
}

inline std::string io_name(const ::testing::TestParamInfo<Io>& info) {
  return info.param == Io::uring ? "uring" : "epoll";
}

// One driver per test, and every event it ever reported.
class DriverTest : public ::testing::TestWithParam<Io> {
 protected:
  void open(DriverOptions options = {}, std::unique_ptr<pool::Core> core = make_core()) {
    core_ = std::move(core);
    free_before_ = core_->stats().buffers_free;
    options.io = GetParam();
    auto driver = open_driver("kernel", *core_, options);
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    driver_ = std::move(*driver);
  }

  // Closing gives everything back: whatever a test did, no buffer is lost.
  void TearDown() override {
    driver_.reset();
    if (core_ == nullptr || core_->failed()) return;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(core_->commit().has_value());
    const pool::CoreStats stats = core_->stats();
    // Zeroed log pages are stocked at commits: they are not lost.
    EXPECT_EQ(stats.buffers_data, 0u);
    EXPECT_LE(free_before_ - stats.buffers_free, stats.buffers_structure);
  }

  ListenerId listen(std::string_view text, Transport transport = Transport::tcp) {
    auto endpoint = parse_endpoint(text, transport);
    EXPECT_TRUE(endpoint.has_value());
    auto id = driver_->listen(*endpoint);
    EXPECT_TRUE(id.has_value()) << id.error().message();
    return id.value_or(0);
  }

  // One turn, commit included. True if `until` holds.
  void turn(Duration timeout = milliseconds(5)) {
    const auto polled = driver_->poll(timeout);
    ASSERT_TRUE(polled.has_value()) << polled.error().message();
    for (const Event& event : driver_->events()) {
      events_.push_back(event);
      if (on_event_) on_event_(event);
    }
    if (commit_) {
      ASSERT_TRUE(core_->commit().has_value());
    }
  }

  // Turns until the condition holds, at most ten seconds.
  bool run_until(const std::function<bool()>& condition) {
    const uint64_t end = base::monotonic_ns() + 10'000'000'000;
    while (!condition()) {
      if (base::monotonic_ns() > end) return false;
      turn();
      if (HasFatalFailure()) return false;
    }
    return true;
  }
  void run_for(Duration duration) {
    const uint64_t end = base::monotonic_ns() + static_cast<uint64_t>(duration.count());
    while (base::monotonic_ns() < end) turn(milliseconds(1));
  }

  [[nodiscard]] size_t count(EventType type, ConnectionId of = {}) const {
    size_t n = 0;
    for (const Event& event : events_) {
      n += event.type == type && (!of || event.connection == of) ? 1 : 0;
    }
    return n;
  }
  // The last event of the type; its connection is {0, 0} if there was none.
  [[nodiscard]] Event last(EventType type, ConnectionId of = {}) const {
    Event found{.type = type, .connection = {}};
    for (const Event& event : events_) {
      if (event.type == type && (!of || event.connection == of)) found = event;
    }
    return found;
  }

  struct Pair {
    ConnectionId client, server;
  };
  // A connection of the driver to itself.
  Pair connect_pair(ListenerId listener) {
    Endpoint to = driver_->local(listener);
    if (to.host == "*") to.host = "127.0.0.1";
    auto client = driver_->connect(to);
    EXPECT_TRUE(client.has_value()) << client.error().message();
    const size_t before = accepted_count();
    EXPECT_TRUE(run_until(
        [&] { return count(EventType::opened, *client) == 1 && accepted_count() > before; }));
    return {*client, last_accepted()};
  }
  [[nodiscard]] size_t accepted_count() const {
    size_t n = 0;
    for (const Event& e : events_) n += e.type == EventType::opened && e.listener != 0 ? 1 : 0;
    return n;
  }
  [[nodiscard]] ConnectionId last_accepted() const {
    ConnectionId id{};
    for (const Event& e : events_) {
      if (e.type == EventType::opened && e.listener != 0) id = e.connection;
    }
    return id;
  }

  // Takes all that was received.
  std::string take(ConnectionId connection) {
    std::string text;
    for (const Slice slice : driver_->received(connection)) {
      text += as_text(core_->bytes(slice));
    }
    driver_->consume(connection, text.size());
    return text;
  }

  std::unique_ptr<pool::Core> core_;
  std::unique_ptr<Driver> driver_;
  std::vector<Event> events_;
  std::function<void(const Event&)> on_event_;
  bool commit_ = true;
  uint64_t free_before_ = 0;
};

}  // namespace paste::port
