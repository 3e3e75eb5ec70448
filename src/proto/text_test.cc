// Goal: the small texts of HTTP are read and written as their RFCs say. Method: tables.
#include <gtest/gtest.h>

#include "proto/accept.h"
#include "proto/http_request.h"
#include "proto/http_response.h"
#include "proto/json_text.h"

namespace paste::proto {
namespace {

TEST(PercentDecode, DecodesOrRefuses) {
  DecodedText text;
  EXPECT_TRUE(percent_decode("a%2Fb%2f", false, text));
  EXPECT_EQ(text.view(), "a/b/");
  EXPECT_TRUE(percent_decode("a+b", true, text));
  EXPECT_EQ(text.view(), "a b");
  EXPECT_TRUE(percent_decode("a+b", false, text));
  EXPECT_EQ(text.view(), "a+b");
  for (const char* bad : {"%", "%4", "%4g", "a%zz"})
    EXPECT_FALSE(percent_decode(bad, false, text)) << bad;
  EXPECT_TRUE(percent_decode(std::string(128, 'x'), false, text));
  EXPECT_FALSE(percent_decode(std::string(129, 'x'), false, text));
}

TEST(Query, FindsValues) {
  DecodedText text;
  EXPECT_EQ(query_value("a=1&b=two%20x&c", "b", text), QueryResult::present);
  EXPECT_EQ(text.view(), "two x");
  EXPECT_EQ(query_value("a=1&b=2&c", "c", text), QueryResult::present);
  EXPECT_EQ(text.view(), "");
  EXPECT_EQ(query_value("a=1", "b", text), QueryResult::absent);
  EXPECT_EQ(query_value("", "b", text), QueryResult::absent);
  EXPECT_EQ(query_value("b=%4", "b", text), QueryResult::malformed);
  uint64_t number = 7;
  EXPECT_EQ(query_number("n=18446744073709551615", "n", number), QueryResult::present);
  EXPECT_EQ(number, UINT64_MAX);
  for (const char* bad : {"n=", "n=-1", "n=1x", "n=18446744073709551616", "n= 1"}) {
    EXPECT_EQ(query_number(bad, "n", number), QueryResult::malformed) << bad;
  }
}

TEST(Accept, ChoosesTheBest) {
  constexpr std::string_view kOffered[] = {"application/octet-stream", "application/x-ndjson",
                                           "text/plain"};
  struct Case {
    const char* accept;
    size_t choice;
  };
  for (const Case& c :
       std::initializer_list<Case>{{"", 0},
                                   {"*/*", 0},
                                   {"text/plain", 2},
                                   {"TEXT/Plain", 2},
                                   {"text/*", 2},
                                   {"application/x-ndjson", 1},
                                   {"text/html,*/*;q=0.8", 0},
                                   {"text/plain;q=0.5, application/x-ndjson", 1},
                                   {"application/x-ndjson;q=0.4,text/plain;q=0.5", 2},
                                   {"application/octet-stream;q=0, */*;q=0.1", 1},
                                   {"image/png", 0},
                                   {"*/*;q=0.1,text/plain;q=0.2", 2},
                                   {",,;", 0}}) {
    EXPECT_EQ(choose_type(c.accept, kOffered), c.choice) << c.accept;
  }
}

TEST(Response, Heads) {
  std::string out;
  append_small(out, "17\n", {});
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n17\n");
  out.clear();
  append_small(out, "", {.http11 = false, .keep_alive = true});
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  out.clear();
  append_head(out, {405, "text/plain", 4, "Allow: GET\r\n"}, {.http11 = true, .keep_alive = false});
  EXPECT_EQ(out,
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
            "Allow: GET\r\nConnection: close\r\n\r\n");
  out.clear();
  append_head(out, {.status = 200}, {});
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  out.clear();
  append_chunk_size(out, 0x1f4);
  EXPECT_EQ(out, "1f4\r\n");
}

TEST(Json, Utf8AcrossPieces) {
  const auto valid = [](std::string_view text) {
    bool all = true;
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      Utf8Checker checker;
      (void)checker.add(text.substr(0, cut));
      (void)checker.add(text.substr(cut));
      Utf8Checker whole;
      (void)whole.add(text);
      EXPECT_EQ(checker.complete(), whole.complete()) << cut;
      all = whole.complete();
    }
    return all;
  };
  for (const char* good : {"", "plain ascii text longer than eight", "\xC3\xA9", "\xE2\x82\xAC 5",
                           "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(valid(good)) << good;
  }
  for (const char* bad : {"\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF5", "eight byt\xE9s then", "\xE2\x82"}) {
    EXPECT_FALSE(valid(bad)) << bad;
  }
}

TEST(Json, EscapesAndBase64) {
  std::string out;
  append_json_escaped(out, std::string_view("a\"b\\c\n\r\t\0\x1f\x7f", 11));
  EXPECT_EQ(out, "a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f\x7f");
  // RFC 4648 §10.
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : cases) {
    for (size_t cut = 0; cut <= std::string_view(plain).size(); ++cut) {
      Base64Encoder encoder;
      out.clear();
      encoder.add(out, std::string_view(plain).substr(0, cut));
      encoder.add(out, std::string_view(plain).substr(cut));
      encoder.finish(out);
      EXPECT_EQ(out, encoded);
    }
  }
}

}  // namespace
}  // namespace paste::proto
