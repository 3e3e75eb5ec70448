// Goal: connections and the server end well: limits, timeouts, half closes, aborts, reopening; and
// nothing is leaked or allocated on the way. Method: a real server on loopback and a blocking
// client; the pool's free buffers are counted before and after, operator new everywhere.
#include <cstdlib>

#include "server/counting_new.h"
#include "server/test_client.h"
#include "server/test_server.h"

namespace paste::server {
namespace {

using namespace std::chrono_literals;

uint64_t metric(Client& client, const std::string& name) {
  const std::string text = client.get("/metrics").body;
  const size_t at = text.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? 0
                                 : std::strtoull(text.c_str() + at + name.size() + 2, nullptr, 10);
}

template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 100; ++i) {
    if (condition()) return true;
    ::usleep(20'000);
  }
  return false;
}

TEST(Life, SteadyAppendsAllocateNothing) {
  TestServer server;
  Client client(server.port());
  const std::string request =
      "POST /log/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n" + std::string(1024, 'x');
  // Replies of LSNs 1000 … 4999 all have this length.
  const size_t reply = std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1000\n").size();
  for (int i = 0; i < 999; ++i)
    ASSERT_EQ(client.post("/log/a", std::string(1024, 'x')).status, 200);
  client.buffer().reserve(1 << 16);
  uint64_t counted = UINT64_MAX;
  // Housekeeping by the clock may allocate: one quiet stretch without it is enough.
  for (int attempt = 0; attempt < 5 && counted != 0; ++attempt) {
    allocations = 0;
    counting_allocations = true;
    for (int i = 0; i < 300; ++i) {
      client.buffer().clear();
      ASSERT_TRUE(client.send(request));
      ASSERT_TRUE(client.fill_to(reply));
    }
    counting_allocations = false;
    counted = allocations;
  }
  EXPECT_EQ(counted, 0u);
}

TEST(Life, RecordsAreThereAfterReopening) {
  const std::string path = "/dev/shm/paste_life_test." + std::to_string(::getpid());
  TestServerOptions options;
  options.path = path;
  options.pool_bytes = 16u << 20;
  {
    TestServer server(options);
    Client client(server.port());
    for (int i = 1; i <= 200; ++i) client.post("/log/keep", "record " + std::to_string(i));
    client.post("/log/gone", "x");
    client.request("DELETE", "/log/gone?all=1");
    client.request("DELETE", "/log/keep?to=101");
    client.request("DELETE", "/log/keep?lsn=150");
  }
  options.create = false;
  TestServer server(options);
  Client client(server.port());
  std::string expected;
  for (int i = 101; i <= 200; ++i) {
    if (i != 150) expected += "record " + std::to_string(i) + "\n";
  }
  EXPECT_EQ(client.get("/log/keep", "text/plain").body, expected);
  EXPECT_EQ(client.get("/log/gone").status, 404);
  EXPECT_EQ(client.post("/log/keep", "next").body, "201\n");
  ::unlink(path.c_str());
}

TEST(Life, AbortedBodiesGiveTheirBuffersBack) {
  TestServer server;
  Client watcher(server.port());
  for (int i = 0; i < 60; ++i) {
    Client client(server.port());
    std::string text = "POST /log/a HTTP/1.1\r\nHost: a\r\n";
    text += i % 2 == 0 ? "Content-Length: 100000\r\n\r\n" + std::string(50000, 'x')
                       : "Transfer-Encoding: chunked\r\n\r\nFFFF\r\n" + std::string(40000, 'y');
    ASSERT_TRUE(client.send(text));
    if (i % 3 == 0) client.reset();
    if (i % 3 == 1) {
      client.half_close();
      EXPECT_TRUE(client.closed());
    }
  }
  EXPECT_TRUE(eventually([&] { return metric(watcher, "paste_http_bodies_held_bytes") == 0; }))
      << watcher.get("/metrics").body;
  EXPECT_EQ(watcher.get("/log/a").status, 404);  // nothing was appended
  server.stop();
  EXPECT_EQ(server.free_before(), server.free_after());
}

TEST(Life, TinyPiecesDoNotKeepABufferEach) {
  TestServer server;
  Client watcher(server.port());
  Client client(server.port());
  ASSERT_TRUE(client.send("POST /log/t HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"));
  std::string body;
  for (int i = 0; i < 1000; ++i) {
    const char c = static_cast<char>('a' + i % 26);
    body += c;
    ASSERT_TRUE(client.send({&c, 1}));
    if (i == 998) {
      EXPECT_LE(metric(watcher, "paste_http_bodies_held_bytes"), 40u * 2048);
    }
    if (i % 10 == 0) ::usleep(100);
  }
  EXPECT_EQ(client.receive().body, "1\n");
  EXPECT_EQ(client.get("/log/t", "text/plain").body, body + "\n");
}

TEST(Life, LimitsOfSizeAreToldBeforeAnythingIsKept) {
  TestServerOptions options;
  options.server.http.body_bytes_max = 100'000;
  options.server.http.bodies_bytes_max = 150'000;
  options.server.http.header_bytes_max = 1000;
  TestServer server(options);
  {
    Client client(server.port());
    ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n"));
    EXPECT_EQ(client.receive().status, 413);
    EXPECT_TRUE(client.closed());
  }
  {
    Client client(server.port());
    ASSERT_TRUE(
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186A1\r\n"));
    EXPECT_EQ(client.receive().status, 413);
  }
  {
    Client client(server.port());
    ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1000, 'x')));
    EXPECT_EQ(client.receive().status, 431);
  }
  // A body under way takes its part of what all bodies may hold; a second one is put off.
  Client first(server.port());
  ASSERT_TRUE(first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" +
                         std::string(80000, 'x')));
  Client second(server.port());
  EXPECT_TRUE(eventually([&] { return metric(second, "paste_http_bodies_held_bytes") >= 80000; }));
  ASSERT_TRUE(second.send(
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\nExpect: 100-continue\r\n\r\n"));
  const Response busy = second.receive();
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.fields.at("Retry-After"), "1");
  ASSERT_TRUE(first.send(std::string(10000, 'x')));
  EXPECT_EQ(first.receive().body, "1\n");
}

TEST(Life, ExpectContinue) {
  TestServer server;
  Client client(server.port());
  ASSERT_TRUE(client.send(
      "POST /log/e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.receive().status, 100);
  ASSERT_TRUE(client.send("body"));
  EXPECT_EQ(client.receive().body, "1\n");
  // Refused without asking for the body.
  ASSERT_TRUE(client.send(
      "POST /log/.e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.receive().status, 400);
  EXPECT_TRUE(client.closed());
}

TEST(Life, PoolFullIsAnErrorAndRoomComesBack) {
  TestServerOptions options;
  options.pool_bytes = 4u << 20;
  TestServer server(options);
  Client client(server.port());
  const std::string body(1500, 'x');
  Response r;
  int kept = 0;
  for (int i = 0; i < 4000; ++i) {
    r = client.post("/log/full", body);
    if (r.status == 0) {  // the body was refused while it arrived: that ends the connection
      break;
    }
    if (r.status != 200) break;
    ++kept;
  }
  EXPECT_EQ(r.status, 507);
  EXPECT_NE(r.body.find("full"), std::string::npos);
  EXPECT_GT(kept, 500);
  Client other(server.port());
  EXPECT_EQ(other.get("/log/full?limit=1", "text/plain").body, body + "\n");
  EXPECT_EQ(other.request("DELETE", "/log/full?to=" + std::to_string(kept + 1)).status, 200);
  EXPECT_TRUE(eventually([&] {
    Client fresh(server.port());
    return fresh.post("/log/full", body).status == 200;
  }));
}

TEST(Life, Timeouts) {
  TestServerOptions options;
  options.server.http.idle = 400ms;
  options.server.http.request = 300ms;
  TestServer server(options);
  Client slow(server.port());
  ASSERT_TRUE(slow.send("GET / HTTP/1.1\r\nHo"));
  Client idle(server.port());
  EXPECT_EQ(idle.post("/", "x").status, 200);
  EXPECT_EQ(slow.receive().status, 408);
  EXPECT_TRUE(slow.closed());
  EXPECT_TRUE(idle.closed());
  // A body that stops is given up, and what was held of it given back.
  Client stuck(server.port());
  ASSERT_TRUE(stuck.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" +
                         std::string(5000, 'x')));
  EXPECT_TRUE(stuck.closed());
  Client watcher(server.port());
  EXPECT_EQ(metric(watcher, "paste_http_bodies_held_bytes"), 0u);
  EXPECT_GE(metric(watcher, "paste_http_timeouts_total"), 3u);
}

TEST(Life, HalfClosedClientsGetTheirReplies) {
  TestServer server;
  Client client(server.port());
  std::string text;
  for (int i = 0; i < 50; ++i)
    text += "POST /log/h HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
  ASSERT_TRUE(client.send(text));
  ASSERT_TRUE(client.send("GET /log/h?limit=1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n"));
  client.half_close();
  for (int i = 1; i <= 50; ++i) EXPECT_EQ(client.receive().body, std::to_string(i) + "\n");
  EXPECT_EQ(client.receive().body, "ab\n");
  EXPECT_TRUE(client.closed());
}

TEST(Life, PipelinesAreServedFairlyAndInOrder) {
  TestServerOptions options;
  options.server.http.pipeline_max = 4;
  TestServer server(options);
  Client client(server.port());
  std::string text;
  for (int i = 0; i < 500; ++i) {
    text += "POST /log/p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    if (i % 50 == 0) text += "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  ASSERT_TRUE(client.send(text));
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(client.receive().body, std::to_string(i + 1) + "\n");
    if (i % 50 == 0) {
      ASSERT_EQ(client.receive().body, "ok\n");
    }
  }
}

TEST(Life, ConnectionCloseAndHttp10) {
  TestServer server;
  Client client(server.port());
  ASSERT_TRUE(
      client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"));
  const Response r = client.receive();
  EXPECT_EQ(r.body, "1\n");
  EXPECT_EQ(r.fields.at("Connection"), "close");
  EXPECT_TRUE(client.closed());
  Client old(server.port());
  ASSERT_TRUE(old.send("POST / HTTP/1.0\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx"));
  EXPECT_EQ(old.receive().fields.at("Connection"), "keep-alive");
  ASSERT_TRUE(old.send("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"));
  EXPECT_EQ(old.receive().body, "3\n");
  EXPECT_TRUE(old.closed());
}

TEST(Life, CopyModeKeepsTheSame) {
  TestServerOptions options;
  options.server.copy = true;
  TestServer server(options);
  Client client(server.port());
  const std::string body(10'000, 'c');
  EXPECT_EQ(client.post("/log/c", body).body, "1\n");
  EXPECT_EQ(client.get("/log/c", "text/plain").body, body + "\n");
}

TEST(Life, DatagramsAreRecords) {
  TestServerOptions options;
  options.server.listen = {parse_listen("http://127.0.0.1:0").value(),
                           parse_listen("udp://127.0.0.1:0/packets").value()};
  TestServer server(options);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval wait{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port(1));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::string expected;
  for (const std::string& text :
       {std::string("one"), std::string(9000, 'u'), std::string("three")}) {
    ASSERT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    char reply[64];
    const ssize_t n = ::recv(fd, reply, sizeof reply, 0);
    ASSERT_GT(n, 0);
    expected += text + "\n";
    EXPECT_EQ(std::string(reply, static_cast<size_t>(n)),
              std::to_string(std::count(expected.begin(), expected.end(), '\n')) + "\n");
  }
  ::close(fd);
  Client client(server.port(0));
  EXPECT_EQ(client.get("/log/packets", "text/plain").body, expected);
}

TEST(Life, RetentionKeepsTheNewest) {
  TestServerOptions options;
  options.server.retention.count = 10;
  TestServer server(options);
  Client client(server.port());
  for (int i = 1; i <= 50; ++i) client.post("/log/r", std::to_string(i));
  EXPECT_TRUE(
      eventually([&] { return client.request("HEAD", "/log/r").fields["Log-First"] == "41"; }));
}

TEST(Life, StopAnswersWhatHadArrived) {
  TestServer server;
  Client client(server.port());
  Client idle(server.port());
  EXPECT_EQ(idle.post("/", "x").status, 200);
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += "POST /log/s HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  ASSERT_TRUE(client.send(text));
  server.stop();
  // Whatever was answered is a whole prefix; the connections end in order.
  int answered = 0;
  for (Response r = client.receive(); r.complete; r = client.receive()) {
    EXPECT_EQ(r.body, std::to_string(++answered) + "\n");
  }
  EXPECT_GE(answered, 1);
  EXPECT_TRUE(idle.closed());
}

TEST(Life, ListenUrls) {
  EXPECT_EQ(parse_listen("http://127.0.0.1:80").value().endpoint.port, 80);
  EXPECT_EQ(parse_listen("http://127.0.0.1:80/").value().protocol, Protocol::http);
  EXPECT_EQ(parse_listen("http://unix:/run/p.sock").value().endpoint.transport,
            Transport::unix_stream);
  const Listen udp = parse_listen("udp://[::1]:9001/orders").value();
  EXPECT_EQ(udp.log_name, "orders");
  EXPECT_EQ(udp.endpoint.transport, Transport::udp);
  for (const char* bad :
       {"", "127.0.0.1:80", "ftp://a:1", "udp://127.0.0.1:1", "udp://127.0.0.1:1/",
        "udp://127.0.0.1:1/.x", "http://127.0.0.1:99999", "http://name:80"}) {
    const auto listen = parse_listen(bad);
    ASSERT_FALSE(listen.has_value()) << bad;
    EXPECT_EQ(listen.error().code(), Code::invalid);
    EXPECT_NE(listen.error().message().find("http://"), std::string::npos);
  }
}

}  // namespace
}  // namespace paste::server
