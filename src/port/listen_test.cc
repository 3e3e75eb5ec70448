// Goal: every kind of address can be listened on and connected to, and what is wrong is said.
// Method: the driver connects to itself; failures are provoked and their sentences read.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "port/test_driver.h"

namespace paste::port {
namespace {

class ListenTest : public DriverTest {
 protected:
  void exchange_words(const Pair& pair) {
    ASSERT_TRUE(driver_->send(pair.client, as_bytes("ping")).has_value());
    ASSERT_TRUE(run_until([&] { return take(pair.server) == "ping"; }));
    ASSERT_TRUE(driver_->send(pair.server, as_bytes("pong")).has_value());
    ASSERT_TRUE(run_until([&] { return take(pair.client) == "pong"; }));
  }
  Error refusal(std::string_view text, Transport transport = Transport::tcp) {
    const auto result = driver_->listen(parse_endpoint(text, transport).value());
    EXPECT_FALSE(result.has_value()) << text;
    return result ? Error(Code::invalid) : result.error();
  }
};
INSTANTIATE_TEST_SUITE_P(Kernel, ListenTest, ::testing::Values(Io::uring, Io::epoll), io_name);

TEST_P(ListenTest, Ipv4Ipv6AndEveryAddress) {
  open();
  exchange_words(connect_pair(listen("127.0.0.1:0")));
  exchange_words(connect_pair(listen("[::1]:0")));
  const ListenerId any = listen("*:0");
  EXPECT_EQ(driver_->local(any).host, "*");
  exchange_words(connect_pair(any));
  Endpoint v6 = driver_->local(any);
  v6.host = "::1";
  const auto client = driver_->connect(v6);
  ASSERT_TRUE(client.has_value());
  ASSERT_TRUE(run_until([&] { return accepted_count() == 4; }));
  EXPECT_TRUE(driver_->peer(last_accepted()).starts_with("[::1]:"));
  EXPECT_EQ(driver_->peer(*client), "[::1]:" + std::to_string(v6.port));
}

TEST_P(ListenTest, UnixSockets) {
  open();
  std::string folder = "/tmp/paste-port-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/s", text = "unix:" + path;
  {
    // A socket file that a dead process left is removed.
    const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(stale);
    ASSERT_TRUE(std::filesystem::exists(path));
  }
  const ListenerId l = listen(text);
  exchange_words(connect_pair(l));
  // One that somebody listens on is not.
  EXPECT_EQ(refusal(text).code(), Code::in_use);
  EXPECT_NE(refusal(text).message().find("another process listens"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(path));
  // Nor is any other file.
  std::filesystem::create_directory(folder + "/d");
  EXPECT_EQ(refusal("unix:" + folder + "/d").code(), Code::in_use);
  EXPECT_EQ(refusal("unix:" + folder + "/no/s").code(), Code::invalid);
  driver_->stop_listening();
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

TEST_P(ListenTest, FailuresAreSentences) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const std::string text = to_string(driver_->local(l));
  const Error in_use = refusal(text);
  EXPECT_EQ(in_use.code(), Code::in_use);
  EXPECT_EQ(in_use.message(), "cannot listen on " + text + ": Address already in use");
  const Error foreign = refusal("203.0.113.7:0");
  EXPECT_EQ(foreign.code(), Code::invalid);
  EXPECT_NE(foreign.message().find("not an address of this machine"), std::string::npos);
  EXPECT_EQ(driver_->connect({"*", 80, Transport::tcp}).error().code(), Code::invalid);
  EXPECT_EQ(driver_->connect({"127.0.0.1", 80, Transport::udp}).error().code(), Code::invalid);
  EXPECT_EQ(driver_->connect({"name", 80, Transport::tcp}).error().code(), Code::invalid);
}

TEST_P(ListenTest, WithoutPermission) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give it up";
  open();
  ASSERT_EQ(::seteuid(65534), 0);
  const auto result = driver_->listen({"127.0.0.1", 1, Transport::tcp});
  const auto unix_result = driver_->listen({"/paste-no.sock", 0, Transport::unix_stream});
  ASSERT_EQ(::seteuid(0), 0);
  std::ifstream range("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  int first = 1024;
  range >> first;
  if (first > 1) {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code(), Code::permission);
    EXPECT_EQ(result.error().message(), "cannot listen on 127.0.0.1:1: Permission denied");
  }
  ASSERT_FALSE(unix_result.has_value());
  EXPECT_EQ(unix_result.error().code(), Code::permission);
}

TEST_P(ListenTest, RefusedConnectionsAreEvents) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const Endpoint nobody = driver_->local(l);
  driver_->stop_listening();
  turn();
  const auto tcp = driver_->connect(nobody);
  ASSERT_TRUE(tcp.has_value());
  const auto path = driver_->connect({"/tmp/paste-nobody.sock", 0, Transport::unix_stream});
  ASSERT_TRUE(path.has_value());
  ASSERT_TRUE(run_until([&] { return count(EventType::closed) == 2; }));
  EXPECT_EQ(last(EventType::closed, *tcp).reason, CloseReason::refused);
  EXPECT_EQ(last(EventType::closed, *tcp).os_error, ECONNREFUSED);
  EXPECT_EQ(last(EventType::closed, *path).os_error, ENOENT);
  EXPECT_EQ(count(EventType::opened), 0u);
}

// What was queued before the connection stood is sent then.
TEST_P(ListenTest, SendBeforeItIsOpen) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const auto client = driver_->connect(driver_->local(l));
  ASSERT_TRUE(client.has_value());
  ASSERT_TRUE(driver_->send(*client, as_bytes("early")).has_value());
  ASSERT_TRUE(driver_->shutdown(*client).has_value());
  ASSERT_TRUE(run_until([&] { return count(EventType::peer_closed) == 1; }));
  EXPECT_EQ(take(last_accepted()), "early");
}

TEST_P(ListenTest, StopListeningKeepsConnections) {
  open();
  const ListenerId l = listen("127.0.0.1:0");
  const Pair pair = connect_pair(l);
  driver_->stop_listening();
  turn();
  exchange_words(pair);
  const auto late = driver_->connect(driver_->local(l));
  ASSERT_TRUE(late.has_value());
  EXPECT_TRUE(run_until([&] { return count(EventType::closed, *late) == 1; }));
}

}  // namespace
}  // namespace paste::port
