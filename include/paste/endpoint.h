// Where to listen or connect.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "paste/result.h"

namespace paste {

enum class Transport : uint8_t { tcp, udp, unix_stream };

struct Endpoint {
  std::string host;  // an address without brackets, "*" for every address; a path for unix
  uint16_t port = 0;  // 0: the system chooses
  Transport transport = Transport::tcp;
};

// "127.0.0.1:9000", "[::1]:9000", "*:9000", ":9000" (every address), "unix:/run/x.sock".
// Names are not looked up. Errors: Code::invalid with what is allowed.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view text, Transport transport);
// The inverse, for messages.
[[nodiscard]] std::string to_string(const Endpoint& endpoint);

}  // namespace paste
