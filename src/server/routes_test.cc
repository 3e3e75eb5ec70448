// Goal: every route answers what docs/http-api.md says, through both kinds of driver.
// Method: a real server on loopback, a blocking client, each answer compared whole.
#include <cstring>

#include "server/test_client.h"
#include "server/test_server.h"

namespace paste::server {
namespace {

class Routes : public testing::TestWithParam<port::Io> {
 protected:
  void SetUp() override {
    if (GetParam() == port::Io::uring && !port::uring_unavailable_reason().empty()) {
      GTEST_SKIP() << port::uring_unavailable_reason();
    }
    TestServerOptions options;
    options.driver.io = GetParam();
    server_ = std::make_unique<TestServer>(options);
    client_ = std::make_unique<Client>(server_->port());
  }
  void expect(const Response& r, int status, std::string_view body) {
    EXPECT_EQ(r.status, status);
    EXPECT_EQ(r.body, body);
    EXPECT_TRUE(r.complete);
  }
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Drivers, Routes, testing::Values(port::Io::uring, port::Io::epoll),
                         [](const auto& chosen) {
                           return chosen.param == port::Io::uring ? "uring" : "epoll";
                         });

TEST_P(Routes, AppendAnswersTheLsn) {
  expect(client_->post("/", "first"), 200, "1\n");
  expect(client_->post("/", "second"), 200, "2\n");
  expect(client_->post("/log/default", "third"), 200, "3\n");
  expect(client_->post("/log/other", ""), 200, "1\n");
  expect(client_->get("/", "text/plain"), 200, client_->get("/", "text/plain").body);
  expect(client_->get("/log/default", "text/plain"), 200, "first\nsecond\nthird\n");
  expect(client_->get("/log/other", "text/plain"), 200, "\n");
}

TEST_P(Routes, AppendRepliesAreMinimal) {
  ASSERT_TRUE(client_->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
  const std::string expected = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1\n";
  ASSERT_TRUE(client_->fill_to(expected.size()));
  EXPECT_EQ(client_->buffer(), expected);
}

TEST_P(Routes, ChunkedBodiesAreOneRecord) {
  ASSERT_TRUE(
      client_->send("POST /log/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n"));
  expect(client_->receive(), 200, "1\n");
  expect(client_->get("/log/c", "text/plain"), 200, "hello world\n");
}

TEST_P(Routes, ReadBinary) {
  client_->post("/log/b", "one");
  client_->post("/log/b", "");
  client_->post("/log/b", "three");
  const Response r = client_->get("/log/b?from=2");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields.at("Content-Type"), "application/octet-stream");
  EXPECT_EQ(r.fields.at("Log-First"), "1");
  EXPECT_EQ(r.fields.at("Log-Next"), "4");
  ASSERT_EQ(r.body.size(), 24u + 24 + 5);
  uint64_t lsn;
  uint64_t time_ns;
  uint32_t length;
  std::memcpy(&lsn, r.body.data() + 24, 8);
  std::memcpy(&time_ns, r.body.data() + 32, 8);
  std::memcpy(&length, r.body.data() + 40, 4);
  EXPECT_EQ(lsn, 3u);
  EXPECT_GT(time_ns, 1'600'000'000'000'000'000u);
  EXPECT_EQ(length, 5u);
  EXPECT_EQ(r.body.substr(48), "three");
}

TEST_P(Routes, ReadNdjson) {
  client_->post("/log/j", "say \"hi\"\n");
  client_->post("/log/j", "\xff\xfe");
  const Response r = client_->get("/log/j", "application/x-ndjson");
  EXPECT_EQ(r.fields.at("Content-Type"), "application/x-ndjson");
  EXPECT_TRUE(r.complete);
  const size_t line = r.body.find('\n');
  EXPECT_TRUE(r.body.starts_with("{\"lsn\":1,\"time\":"));
  EXPECT_TRUE(r.body.substr(0, line).ends_with(",\"data\":\"say \\\"hi\\\"\\n\"}"));
  EXPECT_TRUE(r.body.substr(line + 1).ends_with(",\"base64\":\"//4=\"}\n"));
}

TEST_P(Routes, ReadRanges) {
  for (int i = 1; i <= 5; ++i) client_->post("/log/r", std::to_string(i));
  expect(client_->get("/log/r?from=2&limit=2", "text/plain"), 200, "2\n3\n");
  expect(client_->get("/log/r?limit=0", "text/plain"), 200, "");
  expect(client_->get("/log/r?from=6", "text/plain"), 200, "");
  expect(client_->get("/log/r?from=999", "text/plain"), 200, "");
  expect(client_->get("/log/r?from=0&limit=1", "text/plain"), 200, "1\n");
  // HTTP/1.0 has no chunks: the close ends the body.
  ASSERT_TRUE(
      client_->send("GET /log/r?from=4 HTTP/1.0\r\nConnection: keep-alive\r\n"
                    "Accept: text/plain\r\n\r\n"));
  const Response old = client_->receive();
  EXPECT_EQ(old.fields.at("Connection"), "close");
  expect(old, 200, "4\n5\n");
}

TEST_P(Routes, HeadHasNoBody) {
  client_->post("/log/h", "x");
  const Response r = client_->request("HEAD", "/log/h");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields.at("Log-Next"), "2");
  EXPECT_EQ(client_->request("HEAD", "/").status, 200);
  EXPECT_EQ(client_->request("HEAD", "/log/none").status, 404);
  expect(client_->post("/log/h", "y"), 200, "2\n");  // still in step
}

TEST_P(Routes, PutCreates) {
  expect(client_->request("PUT", "/log/p"), 201, "p\n");
  expect(client_->request("PUT", "/log/p"), 200, "p\n");
  expect(client_->get("/log/p", "text/plain"), 200, "");
}

TEST_P(Routes, Deletes) {
  for (int i = 1; i <= 5; ++i) client_->post("/log/d", std::to_string(i));
  expect(client_->request("DELETE", "/log/d?to=3"), 200, "3\n");
  expect(client_->get("/log/d", "text/plain"), 200, "3\n4\n5\n");
  expect(client_->request("DELETE", "/log/d?lsn=4"), 200, "3\n");
  expect(client_->get("/log/d", "text/plain"), 200, "3\n5\n");
  EXPECT_EQ(client_->request("DELETE", "/log/d?lsn=4").status, 404);
  EXPECT_EQ(client_->request("DELETE", "/log/d?lsn=77").status, 404);
  expect(client_->request("DELETE", "/log/d?to=1000"), 200, "6\n");
  expect(client_->post("/log/d", "six"), 200, "6\n");
  expect(client_->request("DELETE", "/log/d?all=1"), 200, "removed\n");
  EXPECT_EQ(client_->get("/log/d").status, 404);
  expect(client_->post("/log/d", "again"), 200, "1\n");
}

TEST_P(Routes, Pages) {
  expect(client_->get("/log"), 200, "[]\n");
  client_->post("/log/orders", "abc");
  expect(client_->get("/log"), 200,
         "[\n  {\"name\":\"orders\",\"first\":1,\"next\":2,\"durable\":1,\"bytes\":3}\n]\n");
  expect(client_->get("/healthz"), 200, "ok\n");
  const Response home = client_->get("/");
  EXPECT_NE(home.body.find("survives  a <crash>"), std::string::npos);
  EXPECT_NE(home.body.find("orders"), std::string::npos);
  const Response html = client_->get("/", "text/html,*/*;q=0.8");
  EXPECT_EQ(html.fields.at("Content-Type"), "text/html; charset=utf-8");
  EXPECT_NE(html.body.find("a &lt;crash>"), std::string::npos);
  const Response metrics = client_->get("/metrics");
  for (const char* part :
       {"paste_http_requests_total{route=\"log_append\",status=\"200\"} 1\n",
        "paste_append_bytes_total 3\n", "paste_append_batch_seconds_count 1\n",
        "paste_pool_buffers{state=\"free\"} ", "paste_log_next_lsn{log=\"orders\"} 2\n",
        "paste_connections 1\n", "paste_recovery_torn 0\n"}) {
    EXPECT_NE(metrics.body.find(part), std::string::npos) << part << " in\n" << metrics.body;
  }
}

TEST_P(Routes, ErrorsAreTold) {
  struct Case {
    const char* method;
    const char* target;
    int status;
    const char* words;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"GET", "/nothing", 404, "no such path"},
                                   {"POST", "/metrics", 405, "only GET and HEAD"},
                                   {"DELETE", "/", 405, "only GET, HEAD and POST"},
                                   {"PATCH", "/log/a", 405, "only GET, HEAD, POST, PUT and DELETE"},
                                   {"PUT", "/log", 405, "only GET and HEAD"},
                                   {"POST", "/log/.hidden", 400, "bad log name"},
                                   {"POST", "/log/a%2Fb", 400, "bad log name"},
                                   {"POST", "/log/a/b", 400, "bad log name"},
                                   {"POST", "/log/%zz", 400, "bad log name"},
                                   {"GET", "/log/none", 404, "no such log: none"},
                                   {"DELETE", "/log/none?all=1", 404, "no such log: none"},
                                   {"DELETE", "/log/none", 400, "?to=LSN"},
                                   {"DELETE", "/log/none?to=1&lsn=2", 400, "?to=LSN"},
                                   {"DELETE", "/log/none?to=x", 400, "?to=LSN"},
                                   {"GET", "/log/none?from=x", 400, "from must be"},
                                   {"GET", "/log/none?limit=-1", 400, "limit must be"},
                                   {"GET", "/log/none?follow=2", 400, "follow must be"}}) {
    const Response r =
        client_->request(c.method, c.target, std::string_view(c.method) == "POST" ? "x" : "");
    EXPECT_EQ(r.status, c.status) << c.method << ' ' << c.target;
    EXPECT_NE(r.body.find(c.words), std::string::npos) << r.body;
    EXPECT_EQ(r.fields.count("Allow"), c.status == 405 ? 1u : 0u);
  }
  EXPECT_EQ(client_->request("POST", "/log/" + std::string(65, 'a'), "x").status, 400);
  EXPECT_EQ(client_->request("POST", "/log/" + std::string(64, 'a'), "x").status, 200);
  expect(client_->post("/", "still here"), 200, "1\n");
}

TEST_P(Routes, MalformedRequestsAreToldAndTheConnectionEnds) {
  struct Case {
    const char* text;
    int status;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"NONSENSE\r\n\r\n", 400},
           {"GET / HTTP/1.1\r\n\r\n", 400},
           {"GET / HTTP/3.0\r\n\r\n", 505},
           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400},
           {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
           {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
           {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200\r\n\r\n", 417},
           {"\x16\x03\x01", 400}}) {
    Client client(server_->port());
    ASSERT_TRUE(client.send(c.text));
    const Response r = client.receive();
    EXPECT_EQ(r.status, c.status) << c.text;
    EXPECT_EQ(r.fields.at("Connection"), "close");
    EXPECT_FALSE(r.body.empty());
    EXPECT_TRUE(client.closed());
  }
}

}  // namespace
}  // namespace paste::server
