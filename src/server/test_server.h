// A whole server on loopback for tests: pool, logs, driver and server in a thread of their own,
// because each belongs to the thread that made it.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "log/log.h"
#include "paste/units.h"
#include "pmem/region.h"
#include "pool/core.h"
#include "port/driver.h"
#include "server/server.h"

namespace paste::server {

struct TestServerOptions {
  uint64_t pool_bytes = 64ull << 20;
  std::string path;  // empty: anonymous memory
  bool create = true;
  bool fails = false;  // the test makes the region fail: run() has to say so
  std::function<Result<std::unique_ptr<pmem::Region>>(uint64_t)> make_region;  // instead of both
  port::DriverOptions driver;
  ServerOptions server;
};

class TestServer {
 public:
  explicit TestServer(TestServerOptions options = {}) : options_(std::move(options)) {
    auto& listen = options_.server.listen;
    if (listen.empty()) listen.push_back(parse_listen("http://127.0.0.1:0").value());
    if (options_.driver.limits.receive_buffers > 1024)
      options_.driver.limits.receive_buffers = 1024;
    std::promise<void> ready;
    auto started = ready.get_future();
    thread_ = std::thread([this, &ready] { run(ready); });
    started.wait();
  }
  ~TestServer() { stop(); }

  // Drains and ends; afterwards result(), free_before() and free_after() are final.
  void stop() {
    if (!thread_.joinable()) return;
    if (Server* server = server_.load()) server->stop();
    thread_.join();
    if (options_.fails) {
      ASSERT_FALSE(result_.has_value());
      EXPECT_EQ(result_.error().code(), Code::failed);
    } else {
      EXPECT_TRUE(result_.has_value()) << result_.error().message();
    }
  }

  [[nodiscard]] uint16_t port(size_t listener = 0) const {
    const std::string& text = addresses_.at(listener);
    return static_cast<uint16_t>(std::atoi(text.c_str() + text.rfind(':') + 1));
  }
  [[nodiscard]] pool::Core& core() { return *core_; }
  [[nodiscard]] Server& server() { return *server_.load(); }
  // Free buffers before the driver was opened, and after it was closed again.
  [[nodiscard]] uint64_t free_before() const { return free_before_; }
  [[nodiscard]] uint64_t free_after() const { return free_after_; }

 private:
  void run(std::promise<void>& ready) {
    auto region = open_region();
    ASSERT_TRUE(region.has_value()) << region.error().message();
    if (options_.create) {
      ASSERT_TRUE(pool::Core::create(**region, {}).has_value());
      ASSERT_TRUE((*region)->publish_file().has_value());
    }
    auto core = pool::Core::open(std::move(*region));
    ASSERT_TRUE(core.has_value()) << core.error().message();
    auto logs = log::Logs::recover(**core);
    ASSERT_TRUE(logs.has_value()) << logs.error().message();
    ASSERT_TRUE((*core)->finish_recovery().has_value());
    free_before_ = (*core)->stats().buffers_free;
    {
      auto driver = port::open_driver("kernel", **core, options_.driver);
      ASSERT_TRUE(driver.has_value()) << driver.error().message();
      auto server = Server::create(**core, **logs, **driver, options_.server,
                                   {"test", "pool", "process", "a <crash>", "kernel", "none"});
      ASSERT_TRUE(server.has_value()) << server.error().message();
      core_ = core->get();
      server_ = server->get();
      addresses_ = (*server)->addresses();
      ready.set_value();
      result_ = (*server)->run();
      server_ = nullptr;
    }
    free_after_ = (*core)->stats().buffers_free;
  }

  Result<std::unique_ptr<pmem::Region>> open_region() {
    if (options_.make_region) return options_.make_region(options_.pool_bytes);
    if (options_.path.empty()) return pmem::anonymous_region(options_.pool_bytes);
    pmem::RegionOptions region;
    region.path = options_.path;
    region.create = options_.create;
    region.size = options_.pool_bytes;
    return pmem::open_region(region);
  }

  TestServerOptions options_;
  std::thread thread_;
  std::atomic<Server*> server_{nullptr};
  pool::Core* core_ = nullptr;
  std::vector<std::string> addresses_;
  Result<void> result_;
  uint64_t free_before_ = 0;
  uint64_t free_after_ = 0;
};

}  // namespace paste::server
