// What tap_peer is told on its command line.
#pragma once

#include <cstdint>
#include <string>

#include "impairment.h"
#include "session.h"
#include "wire/address.h"

namespace paste::interop {

struct Options {
  std::string device = "tap0";
  wire::IpAddress address = wire::IpAddress::from_v4(0x0a630002);  // 10.99.0.2
  wire::IpAddress remote = wire::IpAddress::from_v4(0x0a630001);   // 10.99.0.1
  uint16_t port = 0;
  bool serve = true;
  uint32_t count = 1;  // connections; a client opens them one after another
  uint16_t mtu = 1500;
  uint32_t buffers = 4096;
  uint64_t seed = 1;
  Duration timeout = std::chrono::seconds(20);
  Program program;
  ImpairmentOptions impairment;
  tcp::ConnectionOptions connection;
};

// Ends the program with status 2 and a sentence if the arguments are wrong.
[[nodiscard]] Options read_options(int argc, char** argv);

}  // namespace paste::interop
