// Goal: long results reach slow and fast readers whole, follow goes on, damage is never hidden.
// Method: a real server on loopback; big records, small receive windows, bytes flipped in memory.
#include <cstring>
#include <string_view>

#include "base/time.h"
#include "server/test_client.h"
#include "server/test_server.h"

namespace paste::server {
namespace {

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint32_t x = 12345;
  for (char& c : text) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return text;
}

TEST(Stream, TwentyMebibytesThereAndBack) {
  TestServerOptions options;
  options.pool_bytes = 96ull << 20;
  TestServer server(options);
  Client client(server.port());
  const std::string body = pattern(20 << 20);
  EXPECT_EQ(client.post("/log/big", body).body, "1\n");
  const Response binary = client.get("/log/big");
  ASSERT_EQ(binary.body.size(), body.size() + 24);
  EXPECT_TRUE(std::string_view(binary.body).substr(24) == body);
  const Response json = client.get("/log/big", "application/x-ndjson");
  EXPECT_TRUE(json.complete);
  EXPECT_NE(json.body.find("\"base64\":\""), std::string::npos);
  EXPECT_GT(json.body.size(), body.size() / 3 * 4);
  // A reader with a small window, after the connection served others.
  Client slow(server.port(), 4096);
  const Response again = slow.get("/log/big", "text/plain");
  EXPECT_TRUE(again.complete);
  EXPECT_TRUE(std::string_view(again.body) == body + "\n");
}

TEST(Stream, ManyRecordsToManyReaders) {
  TestServer server;
  Client writer(server.port());
  std::string all;
  std::string pipelined;
  for (int i = 0; i < 3000; ++i) {
    const std::string record = "record " + std::to_string(i) + " \xE2\x82\xAC";
    all += record + "\n";
    pipelined +=
        "POST /log/m HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(record.size()) +
        "\r\n\r\n" + record;
  }
  ASSERT_TRUE(writer.send(pipelined));
  for (int i = 1; i <= 3000; ++i) ASSERT_EQ(writer.receive().body, std::to_string(i) + "\n");
  std::vector<std::unique_ptr<Client>> readers;
  for (int i = 0; i < 8; ++i) {
    readers.push_back(std::make_unique<Client>(server.port(), i % 2 == 0 ? 4096 : 0));
    const char* accept = i % 4 < 2 ? "text/plain" : "application/x-ndjson";
    // Two requests at once: the second waits for the first.
    const std::string request =
        std::string("GET /log/m HTTP/1.1\r\nHost: a\r\nAccept: ") + accept + "\r\n\r\n";
    ASSERT_TRUE(readers.back()->send(request + request));
  }
  for (int i = 0; i < 8; ++i) {
    for (int round = 0; round < 2; ++round) {
      const Response r = readers[static_cast<size_t>(i)]->receive();
      ASSERT_TRUE(r.complete);
      if (i % 4 < 2) {
        EXPECT_TRUE(r.body == all);
      } else {
        EXPECT_EQ(std::count(r.body.begin(), r.body.end(), '\n'), 3000);
        EXPECT_NE(r.body.find("\"data\":\"record 2999 \xE2\x82\xAC\"}\n"), std::string::npos);
      }
    }
  }
}

TEST(Stream, FollowGoesOn) {
  TestServer server;
  Client writer(server.port());
  writer.post("/log/f", "one");
  Client reader(server.port());
  ASSERT_TRUE(reader.send("GET /log/f?follow=1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n"));
  EXPECT_EQ(reader.head().status, 200);
  bool whole = false;
  EXPECT_EQ(reader.chunk(whole), "one\n");
  for (int i = 0; i < 20; ++i) {
    writer.post("/log/f", std::to_string(i));
    EXPECT_EQ(reader.chunk(whole), std::to_string(i) + "\n");
  }
  // A limit ends it; so does the end of the server, in order.
  Client limited(server.port());
  ASSERT_TRUE(limited.send(
      "GET /log/f?from=21&follow=1&limit=2 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n"));
  EXPECT_EQ(limited.head().status, 200);
  EXPECT_EQ(limited.chunk(whole), "19\n");
  writer.post("/log/f", "last");
  EXPECT_EQ(limited.chunk(whole), "last\n");
  EXPECT_EQ(limited.chunk(whole), "");
  EXPECT_TRUE(whole);
  EXPECT_EQ(reader.chunk(whole), "last\n");
  server.stop();
  EXPECT_EQ(reader.chunk(whole), "");
  EXPECT_TRUE(whole);
  EXPECT_TRUE(reader.closed());
}

TEST(Stream, FollowersThatLeaveCostNothing) {
  TestServer server;
  Client writer(server.port());
  writer.post("/log/f", "one");
  for (int i = 0; i < 20; ++i) {
    Client reader(server.port());
    ASSERT_TRUE(reader.send("GET /log/f?follow=1 HTTP/1.1\r\nHost: a\r\n\r\n"));
    EXPECT_EQ(reader.head().status, 200);
    if (i % 2 == 0) {
      reader.reset();
    } else {
      reader.half_close();  // ends the stream in order
      bool whole = true;
      while (!reader.chunk(whole).empty()) {
      }
      EXPECT_TRUE(whole);
    }
  }
  EXPECT_EQ(writer.post("/log/f", "two").body, "2\n");
  EXPECT_EQ(writer.get("/log/f", "text/plain").body, "one\ntwo\n");
}

// Flips a byte of the only place in the pool where `text` lies.
void damage(pool::Core& core, std::string_view text) {
  auto* begin = reinterpret_cast<char*>(core.region().data());
  const std::string_view all(begin, core.region().size());
  for (size_t at = all.find(text); at != std::string_view::npos; at = all.find(text, at + 1)) {
    begin[at] ^= 1;
  }
}

TEST(Stream, DamageIsAnErrorAtTheFirstRecordAndAResetLater) {
  const std::string path = "/dev/shm/paste_stream_test." + std::to_string(::getpid());
  TestServerOptions options;
  options.path = path;
  options.pool_bytes = 16u << 20;
  options.server.scrub_per_second = 0;
  {
    TestServer server(options);
    Client client(server.port());
    client.post("/log/x", "an intact record, the first");
    client.post("/log/x", "a record that will be damaged");
    client.post("/log/x", "an intact record, the last one");
  }
  // The checksum is looked at when a record is first read after open.
  options.create = false;
  TestServer server(options);
  damage(server.core(), "record that will be damaged");
  Client client(server.port());
  const Response r = client.get("/log/x?from=2");
  EXPECT_EQ(r.status, 500);
  EXPECT_FALSE(r.body.empty());
  // Parts of the answer may have left before the damage was met; its end never does.
  EXPECT_FALSE(client.get("/log/x", "text/plain").complete);
  Client other(server.port());
  EXPECT_EQ(other.get("/log/x?from=3", "text/plain").body, "an intact record, the last one\n");
  ::unlink(path.c_str());
}

TEST(Stream, AStalledReaderIsBoundedAndOthersGoOn) {
  TestServerOptions options;
  options.pool_bytes = 64ull << 20;
  options.driver.limits.connection_send_max = 256 << 10;
  options.server.http.idle = std::chrono::milliseconds(1500);
  TestServer server(options);
  Client client(server.port());
  const std::string body = pattern(8 << 20);
  client.post("/log/s", body);
  Client stalled(server.port(), 4096);
  ASSERT_TRUE(stalled.send("GET /log/s HTTP/1.1\r\nHost: a\r\n\r\n"));
  const uint64_t begin = base::monotonic_ns();
  while (base::monotonic_ns() - begin < 300'000'000) EXPECT_EQ(client.post("/", "x").status, 200);
  const std::string metrics = client.get("/metrics").body;
  const size_t at = metrics.find("\npaste_send_queued_bytes ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LE(std::strtoull(metrics.c_str() + at + 25, nullptr, 10), 600u << 10);
  // In the end it is cut off.
  bool aborted = false;
  while (base::monotonic_ns() - begin < 8'000'000'000 && !aborted) {
    aborted = client.get("/metrics").body.find("\npaste_connections 1\n") != std::string::npos;
    if (!aborted) ::usleep(50'000);
  }
  EXPECT_TRUE(aborted);
}

}  // namespace
}  // namespace paste::server
