#include "paste/endpoint.h"

#include <arpa/inet.h>

#include <charconv>

namespace paste {
namespace {

constexpr const char* kForms =
    "allowed are 192.0.2.1:9000, [::1]:9000, *:9000, :9000 and unix:/path";
constexpr size_t kUnixPathMax = 107;  // sockaddr_un::sun_path less its terminator

Unexpected refuse(std::string_view text, std::string_view why) {
  return fail(Code::invalid, "'" + std::string(text) +
                                 "' is not an address to use: " + std::string(why) + "; " + kForms);
}

bool is_ipv4(const std::string& host) {
  in_addr address;
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text, Transport transport) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    const std::string_view path = text.substr(kUnix.size());
    if (transport == Transport::udp) return refuse(text, "datagrams need an IP address");
    if (path.empty()) return refuse(text, "the path is missing");
    if (path.size() > kUnixPathMax) return refuse(text, "a path has at most 107 bytes");
    if (path.find('\0') != path.npos) return refuse(text, "the path contains a zero byte");
    return Endpoint{std::string(path), 0, Transport::unix_stream};
  }
  if (transport == Transport::unix_stream) return refuse(text, "it does not begin with unix:");

  const size_t colon = text.rfind(':');
  if (colon == text.npos) return refuse(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
      port > 65535) {
    return refuse(text, "the port is a number from 0 to 65535");
  }
  Endpoint endpoint{.host = {}, .port = static_cast<uint16_t>(port), .transport = transport};
  if (host.empty() || host == "*") {
    endpoint.host = "*";
  } else if (host.front() == '[') {
    if (host.back() != ']') return refuse(text, "the bracket is not closed");
    endpoint.host = std::string(host.substr(1, host.size() - 2));
    if (!is_ipv6(endpoint.host)) return refuse(text, "no IPv6 address between the brackets");
  } else {
    endpoint.host = std::string(host);
    if (is_ipv6(endpoint.host)) return refuse(text, "an IPv6 address stands in brackets");
    if (!is_ipv4(endpoint.host)) return refuse(text, "names are not looked up");
  }
  return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
  if (endpoint.transport == Transport::unix_stream) return "unix:" + endpoint.host;
  const std::string port = ":" + std::to_string(endpoint.port);
  if (endpoint.host.find(':') != std::string::npos) return "[" + endpoint.host + "]" + port;
  return (endpoint.host.empty() ? "*" : endpoint.host) + port;
}

}  // namespace paste
