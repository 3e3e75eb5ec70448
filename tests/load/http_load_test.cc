#include "load/http_load.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "pmem/region.h"
#include "pool/core.h"
#include "server/test_client.h"
#include "server/test_server.h"

namespace paste::load {
namespace {

using std::chrono::milliseconds;

class HttpLoadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto region = pmem::anonymous_region(32u << 20).value();
    ASSERT_TRUE(pool::Core::create(*region, {}).has_value());
    core_ = pool::Core::open(std::move(region)).value();
    ASSERT_TRUE(core_->finish_recovery().has_value());
    free_before_ = core_->stats().buffers_free;
    driver_ = port::open_driver("kernel", *core_).value();
  }
  void TearDown() override {
    driver_.reset();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(core_->commit().has_value());
    EXPECT_EQ(core_->stats().buffers_free, free_before_);
  }
  static HttpLoadOptions to(uint16_t port) {
    HttpLoadOptions options;
    options.server = {.host = "127.0.0.1", .port = port};
    options.connections = 8;
    return options;
  }

  uint64_t free_before_ = 0;
  std::unique_ptr<pool::Core> core_;
  std::unique_ptr<port::Driver> driver_;
};

TEST_F(HttpLoadTest, EveryReplyIsARecord) {
  server::TestServerOptions large;
  large.pool_bytes = 512u << 20;
  server::TestServer server(large);
  auto load = HttpLoad::open(*core_, *driver_, to(server.port()));
  ASSERT_TRUE(load.has_value()) << load.error().message();
  uint64_t told = 0;
  const auto ran = (*load)->run(milliseconds(1200), [&](const Counts& c) { told = c.replies; });
  ASSERT_TRUE(ran.has_value()) << ran.error().message();
  const Counts& counts = (*load)->counts();
  EXPECT_GT(counts.replies, 100u);
  EXPECT_GT(told, 0u);
  EXPECT_LT(told, counts.replies);
  EXPECT_EQ(counts.latency.count(), counts.replies);
  EXPECT_EQ(counts.refused, 0u);
  EXPECT_EQ(counts.broken, 0u);
  const uint64_t replies = counts.replies;
  load->reset();
  server::Client client(server.port());
  const auto last = client.get("/log/bench?from=" + std::to_string(replies) + "&limit=1");
  EXPECT_EQ(last.status, 200);
  EXPECT_NE(last.body.size(), 0u);
  const auto beyond = client.get("/log/bench?from=" + std::to_string(replies + 9) + "&limit=1");
  EXPECT_EQ(beyond.body.size(), 0u);  // at most the eight under way were kept, too
}

TEST_F(HttpLoadTest, RefusalsAreCountedApart) {
  server::TestServerOptions small;
  small.server.http.body_bytes_max = 100;
  server::TestServer server(small);
  auto options = to(server.port());
  options.connections = 2;
  auto load = HttpLoad::open(*core_, *driver_, options);
  ASSERT_TRUE(load.has_value()) << load.error().message();
  (void)(*load)->run(milliseconds(200));
  EXPECT_EQ((*load)->counts().replies, 0u);
  EXPECT_GT((*load)->counts().refused, 0u);
  EXPECT_EQ((*load)->counts().last_refusal, 413);
}

TEST_F(HttpLoadTest, NobodyThereIsAnError) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  socklen_t length = sizeof at;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length);
  const auto load = HttpLoad::open(*core_, *driver_, to(ntohs(at.sin_port)));
  ASSERT_FALSE(load.has_value());
  EXPECT_EQ(load.error().code(), Code::closed);
  EXPECT_NE(load.error().message().find("refuses connections"), std::string::npos);
  ::close(fd);
}

TEST_F(HttpLoadTest, AServerThatOnlyHangsUpIsAnError) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  socklen_t length = sizeof at;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length);
  ASSERT_EQ(::listen(fd, 128), 0);
  std::thread hangs_up([fd] {
    for (int one = ::accept(fd, nullptr, nullptr); one >= 0; one = ::accept(fd, nullptr, nullptr)) {
      ::close(one);
    }
  });
  auto load = HttpLoad::open(*core_, *driver_, to(ntohs(at.sin_port)));
  Result<void> ran = load ? (*load)->run(milliseconds(5000)) : fail(load.error());
  ASSERT_FALSE(ran.has_value());
  EXPECT_EQ(ran.error().code(), Code::closed);
  EXPECT_NE(ran.error().message().find("ends every connection"), std::string::npos);
  if (load) load->reset();
  ::shutdown(fd, SHUT_RDWR);
  hangs_up.join();
  ::close(fd);
}

}  // namespace
}  // namespace paste::load
