// What every part of the server works with. Private to src/server.
#pragma once

#include <cstdint>

#include "server/metrics.h"
#include "server/server.h"

namespace paste::server {

struct Context {
  pool::Core& core;
  log::Logs& logs;
  port::Driver& driver;
  ServerOptions options;
  ServerInfo info;
  Metrics metrics;
  uint64_t now_ns = 0;         // monotonic, once a turn
  uint64_t wall_ns = 0;        // arrival time of what this turn received
  uint64_t started_ns = 0;     // monotonic
  uint32_t batch_appends = 0;  // in the filling ticket
  bool stopping = false;       // every reply is the last one of its connection
  bool more_work = false;      // the next turn must not wait
};

}  // namespace paste::server
