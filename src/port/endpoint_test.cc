// Goal: addresses are read exactly as documented, and refused with words that say what is allowed.
// Method: tables both ways.
#include "paste/endpoint.h"

#include <gtest/gtest.h>

namespace paste {
namespace {

TEST(Endpoint, ReadsEveryForm) {
  struct Case {
    const char *text, *host;
    uint16_t port;
    Transport transport;
    const char* again;
  };
  const Case cases[] = {
      {"127.0.0.1:9000", "127.0.0.1", 9000, Transport::tcp, "127.0.0.1:9000"},
      {"[::1]:9000", "::1", 9000, Transport::tcp, "[::1]:9000"},
      {"[fe80::1%lo]:1", "fe80::1%lo", 1, Transport::tcp, "[fe80::1%lo]:1"},
      {"*:0", "*", 0, Transport::udp, "*:0"},
      {":65535", "*", 65535, Transport::tcp, "*:65535"},
      {"unix:/run/x.sock", "/run/x.sock", 0, Transport::unix_stream, "unix:/run/x.sock"},
  };
  for (const Case& c : cases) {
    const auto endpoint = parse_endpoint(
        c.text, c.transport == Transport::unix_stream ? Transport::tcp : c.transport);
    ASSERT_TRUE(endpoint.has_value()) << c.text;
    EXPECT_EQ(endpoint->host, c.host);
    EXPECT_EQ(endpoint->port, c.port);
    EXPECT_EQ(endpoint->transport, c.transport);
    EXPECT_EQ(to_string(*endpoint), c.again);
  }
}

TEST(Endpoint, RefusesTheRestInWords) {
  const std::string long_path = "unix:/" + std::string(107, 'x');
  const char* texts[] = {
      "",        "127.0.0.1", "127.0.0.1:",   "127.0.0.1:65536", "1.2.3:80", "::1:80",
      "[::1:80", "[]:80",     "localhost:80", "[1.2.3.4]:80",    "*:80x",    "*:-1",
      "*: 80",   "unix:",     "[::1]80",      long_path.c_str()};
  for (const char* text : texts) {
    const auto endpoint = parse_endpoint(text, Transport::tcp);
    ASSERT_FALSE(endpoint.has_value()) << text;
    EXPECT_EQ(endpoint.error().code(), Code::invalid);
    EXPECT_NE(endpoint.error().message().find("allowed are"), std::string::npos);
    EXPECT_NE(endpoint.error().message().find(text), std::string::npos);
  }
  EXPECT_FALSE(parse_endpoint("unix:/x", Transport::udp).has_value());
}

}  // namespace
}  // namespace paste
