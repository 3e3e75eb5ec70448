// "http://127.0.0.1:8080", "http://unix:/run/pst.sock", "udp://0.0.0.0:9001/NAME".
#include "server/server.h"

namespace paste::server {

namespace {
Unexpected refused(std::string_view url, std::string_view why) {
  return fail(
      Code::invalid,
      "cannot listen on \"" + std::string(url) + "\": " + std::string(why) +
          "; allowed are http://ADDRESS:PORT, http://unix:/PATH and udp://ADDRESS:PORT/LOG");
}
}  // namespace

Result<Listen> parse_listen(std::string_view url) {
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kUdp = "udp://";
  Listen listen;
  if (url.starts_with(kHttp)) {
    std::string_view rest = url.substr(kHttp.size());
    if (!rest.starts_with("unix:") && rest.ends_with('/')) rest.remove_suffix(1);
    auto endpoint = parse_endpoint(rest, Transport::tcp);
    if (!endpoint) return refused(url, endpoint.error().message());
    listen.endpoint = *endpoint;
    return listen;
  }
  if (!url.starts_with(kUdp)) return refused(url, "unknown protocol");
  const std::string_view rest = url.substr(kUdp.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return refused(url, "the name of the log is missing");
  listen.protocol = Protocol::udp_log;
  listen.log_name = rest.substr(slash + 1);
  if (!log::Logs::valid_name(listen.log_name)) {
    return refused(url, "bad log name: 1 to 64 of A-Z a-z 0-9 . _ -, not starting with '.'");
  }
  auto endpoint = parse_endpoint(rest.substr(0, slash), Transport::udp);
  if (!endpoint) return refused(url, endpoint.error().message());
  listen.endpoint = *endpoint;
  return listen;
}

}  // namespace paste::server
