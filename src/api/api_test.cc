// Goal: the public interface does what its example shows: lines over TCP become durable records in
// place, replies wait for commit(), and a reopened pool still has them.
// Method: a blocking client socket against a pool on tmpfs, turn by turn.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "paste/pool.h"
#include "paste/port.h"

namespace paste {
namespace {

using namespace std::chrono_literals;
using namespace literals;

struct TempPool {
  std::string path = "/dev/shm/api_test." + std::to_string(::getpid()) + ".paste";
  TempPool() { std::filesystem::remove(path); }
  ~TempPool() { std::filesystem::remove(path); }
};

int dial(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string text_of(Pool& pool, const Record& record) {
  std::string text;
  for (const Slice& slice : record.slices) text += as_text(pool.bytes(slice));
  return text;
}

class Api : public testing::TestWithParam<Io> {};

TEST_P(Api, LinesBecomeDurableRecords) {
  TempPool temp;
  {
    auto pool = Pool::open(temp.path, {.create = true, .size = 16_MiB}).value();
    auto opened = Port::open("kernel", pool, {.io = GetParam()});
    if (!opened && opened.error().code() == Code::unsupported)
      GTEST_SKIP() << opened.error().message();
    auto port = std::move(opened).value();
    auto log = pool.log("orders").value();
    const auto listener = port.listen({"127.0.0.1", 0}).value();
    const int client = dial(port.local(listener).port);
    ASSERT_EQ(::send(client, "one\ntwo\r\nthr", 12, 0), 12);
    size_t seen = 0;
    for (int turn = 0; turn < 500 && seen < 2; ++turn) {
      ASSERT_TRUE(port.poll(1ms));
      for (auto& m : port.messages(lines)) {
        const auto appended = log.append(port.hold(m)).value();
        ASSERT_TRUE(port.send(m.connection, "ok\n", {.after = appended.ticket}));
        ++seen;
      }
    }
    ASSERT_EQ(seen, 2u);
    for (int turn = 0; turn < 5; ++turn) ASSERT_TRUE(port.poll(1ms));
    char reply[16];
    EXPECT_EQ(::recv(client, reply, sizeof reply, MSG_DONTWAIT), -1)
        << "a reply overtook its ticket";
    ASSERT_TRUE(pool.commit());
    EXPECT_EQ(log.durable(), 2u);
    ASSERT_EQ(::send(client, "ee\n", 3, 0), 3);
    for (int turn = 0; turn < 500 && seen < 3; ++turn) {
      ASSERT_TRUE(port.poll(1ms));
      for (auto& m : port.messages(lines)) {
        ASSERT_TRUE(log.append(port.hold(m)));
        ASSERT_TRUE(port.send(m.connection, "ok\n"));
        ++seen;
      }
      ASSERT_TRUE(pool.commit());
    }
    ASSERT_TRUE(port.drain(1s));
    std::string got;
    while (got.size() < 9) {
      const ssize_t n = ::recv(client, reply, sizeof reply, 0);
      ASSERT_GT(n, 0);
      got.append(reply, static_cast<size_t>(n));
    }
    EXPECT_EQ(got, "ok\nok\nok\n");
    ::close(client);
  }
  auto pool = Pool::open(temp.path).value();
  auto log = pool.log("orders").value();
  ASSERT_EQ(log.next(), 4u);
  EXPECT_EQ(text_of(pool, log.read(1).value()), "one");
  EXPECT_EQ(text_of(pool, log.read(2).value()), "two");
  EXPECT_EQ(text_of(pool, log.read(3).value()), "three");
}

INSTANTIATE_TEST_SUITE_P(BothIo, Api, testing::Values(Io::uring, Io::epoll));

TEST(Api, OpenRefusesInWords) {
  TempPool temp;
  auto pool = Pool::open(temp.path, {.create = true, .size = 16_MiB}).value();
  EXPECT_EQ(Pool::open(temp.path).error().code(), Code::in_use);
  EXPECT_EQ(pool.log("no/slash").error().code(), Code::invalid);
  EXPECT_EQ(Pool::open("/dev/shm/none.paste").error().code(), Code::not_found);
  EXPECT_EQ(Pool::open("/dev/shm/tiny.paste", {.create = true, .size = 1_MiB}).error().code(),
            Code::invalid);
}

}  // namespace
}  // namespace paste
