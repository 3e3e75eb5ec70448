// Goal: datagrams arrive whole, whatever their length, with their sender, and replies are gated.
// Method: plain UDP sockets against the driver.
#include <netinet/in.h>
#include <sys/socket.h>

#include "port/test_driver.h"

namespace paste::port {
namespace {

class DatagramTest : public DriverTest {
 protected:
  void bind_client(uint16_t port) {
    client_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int size = 8 << 20;
    ::setsockopt(client_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void TearDown() override {
    if (client_ >= 0) ::close(client_);
    DriverTest::TearDown();
  }
  std::string text_of(const Datagram& datagram) {
    std::string text;
    for (const Slice slice : datagram.slices) text += as_text(core_->bytes(slice));
    return text;
  }
  std::string reply() {
    std::string text(70'000, '\0');
    const ssize_t n = ::recv(client_, text.data(), text.size(), MSG_DONTWAIT);
    if (n < 0) return "<nothing>";
    text.resize(static_cast<size_t>(n));
    return text;
  }
  static std::string pattern(size_t n) {
    std::string text(n, '\0');
    for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(i * 31 + (i >> 11) + n);
    return text;
  }
  int client_ = -1;
};
INSTANTIATE_TEST_SUITE_P(Kernel, DatagramTest, ::testing::Values(Io::uring, Io::epoll), io_name);

TEST_P(DatagramTest, EveryLengthComesBackWhole) {
  open();
  const ListenerId l = listen("127.0.0.1:0", Transport::udp);
  bind_client(driver_->local(l).port);
  for (const size_t n : {0u, 1u, 1472u, 2047u, 2048u, 2049u, 4096u, 30'000u, 65'506u, 65'507u}) {
    const std::string sent = pattern(n);
    ASSERT_EQ(::send(client_, sent.data(), n, 0), static_cast<ssize_t>(n));
    std::string got = "<nothing>";
    ASSERT_TRUE(run_until([&] {
      for (const Datagram& datagram : driver_->datagrams()) {
        got = text_of(datagram);
        EXPECT_EQ(datagram.listener, l);
        EXPECT_TRUE(driver_->send_datagram(l, datagram.peer, datagram.peer_length, as_bytes(got))
                        .has_value());
        return true;
      }
      return false;
    })) << n;
    EXPECT_EQ(got, sent) << n;
    ASSERT_TRUE(core_->commit().has_value());
    turn();
    EXPECT_EQ(reply(), sent) << n;
  }
  EXPECT_EQ(driver_->stats().datagrams, 10u);
  EXPECT_TRUE(driver_->idle());
}

TEST_P(DatagramTest, ManyInOneTurnKeepOrderAndBuffers) {
  open();
  const ListenerId l = listen("127.0.0.1:0", Transport::udp);
  bind_client(driver_->local(l).port);
  std::vector<BufferName> kept;
  uint32_t expected = 0;
  on_event_ = [&](const Event& event) {
    if (event.type != EventType::datagram) return;
    for (const Datagram& datagram : driver_->datagrams()) {
      ASSERT_EQ(datagram.slices.size(), 1u);
      uint32_t number = 0;
      std::memcpy(&number, core_->buffer(datagram.slices[0].buffer), sizeof number);
      EXPECT_EQ(number, expected++);
      if (number % 10 == 0) {
        core_->hold(datagram.slices[0].buffer);
        kept.push_back(datagram.slices[0].buffer);
      }
    }
  };
  for (int round = 0; round < 20; ++round) {
    for (uint32_t i = 0; i < 50; ++i) {
      const uint32_t number = static_cast<uint32_t>(round) * 50 + i;
      ASSERT_EQ(::send(client_, &number, sizeof number, 0), 4);
    }
    ASSERT_TRUE(run_until([&] { return expected == static_cast<uint32_t>(round + 1) * 50; }));
  }
  // What is held does not change, though its neighbours were used again.
  for (size_t i = 0; i < kept.size(); ++i) {
    uint32_t number = 0;
    std::memcpy(&number, core_->buffer(kept[i]), sizeof number);
    EXPECT_EQ(number, i * 10);
    core_->release(kept[i]);
  }
}

TEST_P(DatagramTest, RepliesWaitForTheirTicket) {
  open();
  const ListenerId l = listen("127.0.0.1:0", Transport::udp);
  bind_client(driver_->local(l).port);
  ASSERT_EQ(::send(client_, "q", 1, 0), 1);
  commit_ = false;
  ASSERT_TRUE(run_until([&] { return !driver_->datagrams().empty(); }));
  EXPECT_EQ(count(EventType::datagram), 1u);
  const Datagram datagram = driver_->datagrams()[0];
  ASSERT_TRUE(driver_->send_datagram(l, datagram.peer, datagram.peer_length, as_bytes("gated"))
                  .has_value());
  run_for(milliseconds(10));
  EXPECT_EQ(reply(), "<nothing>");
  EXPECT_FALSE(driver_->idle());
  ASSERT_TRUE(core_->commit().has_value());
  turn();
  EXPECT_EQ(reply(), "gated");
  EXPECT_TRUE(driver_->idle());
}

TEST_P(DatagramTest, BadArgumentsAreRefused) {
  open();
  const ListenerId udp = listen("127.0.0.1:0", Transport::udp);
  const ListenerId tcp = listen("127.0.0.1:0");
  sockaddr_storage peer{};
  peer.ss_family = AF_INET;
  const std::string large(65'508, 'x');
  EXPECT_EQ(driver_->send_datagram(udp, peer, sizeof(sockaddr_in), as_bytes(large)).error().code(),
            Code::too_large);
  EXPECT_EQ(driver_->send_datagram(tcp, peer, sizeof(sockaddr_in), as_bytes("x")).error().code(),
            Code::invalid);
  EXPECT_EQ(driver_->send_datagram(99, peer, sizeof(sockaddr_in), as_bytes("x")).error().code(),
            Code::invalid);
  EXPECT_EQ(driver_->send_datagram(udp, peer, 0, as_bytes("x")).error().code(), Code::invalid);
  EXPECT_TRUE(driver_->idle());
}

// A pool with hardly more buffers than one datagram needs.
TEST_P(DatagramTest, ATinyPoolStillCutsNothing) {
  open({}, make_core(512 * 1024));
  const ListenerId l = listen("127.0.0.1:0", Transport::udp);
  bind_client(driver_->local(l).port);
  for (int i = 0; i < 20; ++i) {
    const std::string sent = pattern(60'000);
    ASSERT_EQ(::send(client_, sent.data(), sent.size(), 0), 60'000);
    std::string got;
    ASSERT_TRUE(run_until([&] {
      for (const Datagram& datagram : driver_->datagrams()) got = text_of(datagram);
      return !got.empty();
    }));
    EXPECT_EQ(got, sent);
  }
}

}  // namespace
}  // namespace paste::port
