// What `pst serve` can be told.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "paste/event.h"
#include "pmem/region.h"
#include "server/server.h"

namespace paste::tool {

struct ServeSettings {
  std::string pool;
  bool create = false;
  uint64_t size = 0;  // a device as a whole, a file of 1 GiB
  uint64_t buffer_size = 2048;
  std::optional<pmem::Domain> domain;  // nothing: auto
  pmem::DiskIo disk_io = pmem::DiskIo::automatic;
  Duration media_delay{0};

  std::string port = "kernel";
  Io io = Io::automatic;
  Polling polling = Polling::adaptive;
  Duration spin{50'000};
  uint64_t connections_max = 20'000;
  uint64_t receive_buffers = 4096;
  std::optional<uint64_t> cpu;
  std::string pcap;
  uint64_t pcap_bytes = 64 << 20;

  server::ServerOptions server;

  std::string user;
  bool sandbox = true;

  std::string log_file;
  std::string log_level = "info";
  bool json = false;
};

// The options, each setting its place in `settings`, which must outlive the result.
std::vector<Option> serve_options(ServeSettings& settings);

}  // namespace paste::tool
