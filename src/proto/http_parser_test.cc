// Goal: requests come out the same however the bytes are cut, limits hold, and nothing malformed
// or ambiguous gets through. Method: tables of requests, each parsed whole, cut in two at every
// byte, byte by byte, and truncated at every byte; random cuts of pipelined mixtures.
#include "proto/http_parser.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace paste::proto {
namespace {

struct Outcome {
  // "POST /log/a?x=1 keep 11 |body" for each request, then "error 400 …" or "more".
  std::vector<std::string> lines;
  bool operator==(const Outcome&) const = default;
};

std::string describe(const HttpRequest& r) {
  std::string text(to_string(r.method));
  text += ' ';
  text += r.path;
  text += '?';
  text += r.query;
  text += r.keep_alive ? " keep" : " close";
  text += r.http11 ? " 11" : " 10";
  if (r.chunked) text += " chunked";
  if (r.content_length) text += " length=" + std::to_string(*r.content_length);
  if (r.expect_continue) text += " expect";
  if (!r.accept.empty()) text += " accept=" + std::string(r.accept);
  return text;
}

// Feeds copies of the pieces, so that a view kept beyond its piece would show under ASan.
Outcome run(const std::vector<std::string>& pieces, const HttpParserLimits& limits = {}) {
  HttpParser parser(limits);
  Outcome outcome;
  std::string current;
  for (const std::string& piece : pieces) {
    const std::vector<char> copy(piece.begin(), piece.end());
    std::string_view rest(copy.data(), copy.size());
    for (bool more = true; more;) {
      size_t used = 0;
      const auto step = parser.parse(rest, used);
      EXPECT_LE(used, rest.size());
      switch (step) {
        case HttpParser::Step::need_more:
          EXPECT_EQ(used, rest.size());
          more = false;
          break;
        case HttpParser::Step::header:
          current = describe(parser.request()) + " |";
          break;
        case HttpParser::Step::body:
          EXPECT_FALSE(parser.body().empty());
          EXPECT_GE(parser.body().data(), rest.data());
          EXPECT_LE(parser.body().data() + parser.body().size(), rest.data() + used);
          current += parser.body();
          break;
        case HttpParser::Step::end:
          outcome.lines.push_back(current);
          current.clear();
          break;
        case HttpParser::Step::error:
          outcome.lines.push_back("error " + std::to_string(parser.error().status) + " " +
                                  parser.error().reason);
          return outcome;
      }
      rest.remove_prefix(used);
    }
  }
  outcome.lines.push_back(parser.idle() ? "idle" : "more");
  return outcome;
}

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> all = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /log/a?from=3&limit=2 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 5\r\n\r\nhello",
      "POST /log/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
      "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
      "POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na",
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n006;name=\"v\"\r\n world\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\nA \r\n0123456789\r\n0;x\r\n"
      "Digest: q\r\nB: c\r\n\r\n",
      "\r\n\r\nDELETE /log/a?to=7 HTTP/1.1\r\nHost: a\r\n\r\n",
      "PUT http://example.com/log/z HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET http://example.com HTTP/1.1\r\nHost: a\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
      "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy"
      "GET /3 HTTP/1.1\r\nHost:\r\n\r\n",
      // Refused.
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\nHost: a\n\n",
      "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
      "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nBad\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
      "5\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
      "chunked\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n",
      "\x16\x03\x01\x02",
      "\nGET / HTTP/1.1\r\n\r\n",
      "\r\rGET",
  };
  return all;
}

std::string last(const Outcome& outcome) { return outcome.lines.back(); }

TEST(HttpParser, GoodRequests) {
  const auto& all = corpus();
  EXPECT_EQ(run({all[0]}).lines[0], "GET /? keep 11 |");
  EXPECT_EQ(run({all[1]}).lines[0], "GET /log/a?from=3&limit=2 keep 11 accept=text/plain |");
  EXPECT_EQ(run({all[2]}).lines[0], "POST /? keep 11 length=5 |hello");
  EXPECT_EQ(run({all[3]}).lines[0], "POST /log/x? keep 11 length=0 |");
  EXPECT_EQ(run({all[4]}).lines[0], "POST /? close 10 length=3 |abc");
  EXPECT_EQ(run({all[5]}).lines[0], "POST /? keep 10 length=1 |a");
  EXPECT_EQ(run({all[6]}).lines[0], "POST /? close 11 length=1 |a");
  EXPECT_EQ(run({all[7]}).lines[0], "POST /? keep 11 chunked |hello world");
  EXPECT_EQ(run({all[8]}).lines[0], "POST /? keep 11 chunked |0123456789");
  EXPECT_EQ(run({all[9]}).lines[0], "DELETE /log/a?to=7 keep 11 |");
  EXPECT_EQ(run({all[10]}).lines[0], "PUT /log/z? keep 11 |");
  EXPECT_EQ(run({all[11]}).lines[0], "GET /? keep 11 |");
  EXPECT_EQ(run({all[12]}).lines[0], "OPTIONS *? keep 11 |");
  EXPECT_EQ(run({all[13]}).lines[0], "POST /? keep 11 length=2 expect |ok");
  EXPECT_EQ(run({all[14]}).lines[0], "other /pot? keep 11 |");
  EXPECT_EQ(run({all[15]}).lines.size(), 4u);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(last(run({all[i]})), "idle") << all[i];
}

TEST(HttpParser, RefusedRequests) {
  const auto& all = corpus();
  const std::vector<int> status = {400, 400, 505, 505, 400, 400, 400, 400, 400, 400, 400, 400,
                                   400, 400, 400, 400, 400, 400, 501, 501, 400, 400, 417, 400,
                                   400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400};
  ASSERT_EQ(all.size(), 16 + status.size());
  for (size_t i = 0; i < status.size(); ++i) {
    const std::string outcome = last(run({all[16 + i]}));
    EXPECT_TRUE(outcome.starts_with("error " + std::to_string(status[i]) + " "))
        << all[16 + i] << " gave " << outcome;
  }
}

TEST(HttpParser, EveryCutInTwoAndByteByByteGiveTheSame) {
  for (const std::string& text : corpus()) {
    const Outcome whole = run({text});
    std::vector<std::string> bytes;
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      EXPECT_EQ(run({text.substr(0, cut), text.substr(cut)}), whole) << text << " cut at " << cut;
      if (cut < text.size()) bytes.push_back(text.substr(cut, 1));
    }
    EXPECT_EQ(run(bytes), whole) << text;
  }
}

TEST(HttpParser, EveryTruncationWaitsOrRefusesButNeverCompletes) {
  for (size_t i = 0; i < 15; ++i) {
    const std::string& text = corpus()[i];
    for (size_t n = 0; n < text.size(); ++n) {
      const Outcome outcome = run({text.substr(0, n)});
      ASSERT_EQ(outcome.lines.size(), 1u) << text << " truncated to " << n;
      EXPECT_TRUE(last(outcome) == "more" || last(outcome) == "idle") << last(outcome);
    }
  }
}

TEST(HttpParser, RandomCutsOfPipelinedRequestsGiveTheSame) {
  const auto seed = static_cast<unsigned>(std::random_device{}());
  std::printf("SEED=%u\n", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 6; ++i) text += corpus()[random() % (i < 5 ? 16 : corpus().size())];
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(text.size() - at, 1 + random() % 60);
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    ASSERT_EQ(run(pieces), run({text})) << text;
  }
}

TEST(HttpParser, HeaderLimitIsExact) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  text.resize(200 - 4, 'x');
  text += "\r\n\r\n";
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{100}, size_t{199}}) {
    const std::vector<std::string> pieces = {text.substr(0, cut), text.substr(cut)};
    EXPECT_EQ(last(run(pieces, {.header_bytes_max = 200})), "idle");
    EXPECT_TRUE(last(run(pieces, {.header_bytes_max = 199})).starts_with("error 431"));
  }
  // A head that never ends is refused at the limit, not collected.
  EXPECT_TRUE(last(run({"GET /" + std::string(300, 'a')}, {.header_bytes_max = 200}))
                  .starts_with("error 431"));
}

TEST(HttpParser, BodyLimitIsExact) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n";
  const std::string length = head + "Content-Length: 10\r\n\r\n0123456789";
  const std::string chunks =
      head + "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n";
  for (const std::string& text : {length, chunks}) {
    EXPECT_EQ(last(run({text}, {.body_bytes_max = 10})), "idle");
    EXPECT_TRUE(last(run({text}, {.body_bytes_max = 9})).starts_with("error 413"));
  }
}

TEST(HttpParser, ChunkLinesAndTrailersAreBounded) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_TRUE(last(run({head + "5;" + std::string(300, 'x')})).starts_with("error 400"));
  EXPECT_TRUE(last(run({head + std::string(300, '0')})).starts_with("error 400"));
  EXPECT_TRUE(last(run({head + "0\r\n" + std::string(20000, 'x')})).starts_with("error 431"));
}

TEST(HttpParser, TrimGivesTheScratchBackOnlyBetweenRequests) {
  HttpParser parser({});
  size_t used = 0;
  EXPECT_EQ(parser.parse("GET / HT", used), HttpParser::Step::need_more);
  EXPECT_TRUE(parser.in_header());
  parser.trim();
  EXPECT_EQ(parser.parse("TP/1.1\r\nHost: a\r\n\r\n", used), HttpParser::Step::header);
  EXPECT_EQ(parser.request().path, "/");
  EXPECT_EQ(parser.parse("", used), HttpParser::Step::end);
  parser.trim();
  EXPECT_TRUE(parser.idle());
}

}  // namespace
}  // namespace paste::proto
