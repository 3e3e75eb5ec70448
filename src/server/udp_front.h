// Datagrams: each a record; the reply is its LSN, once it is durable. Private to src/server.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "server/context.h"

namespace paste::server {

class UdpFront {
 public:
  explicit UdpFront(Context& context) : context_(context) {}
  void add_listener(port::ListenerId listener, std::string log_name);
  // Handles all of driver.datagrams().
  void serve();

 private:
  Result<log::Appended> append(std::string_view log_name, std::span<const Slice> slices);
  Result<log::Appended> append_once(std::string_view log_name, std::span<const Slice> slices);

  Context& context_;
  std::unordered_map<port::ListenerId, std::string> log_names_;
  std::string text_;
};

}  // namespace paste::server
