// Counters of the server, and their Prometheus text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/histogram.h"

namespace paste::server {

// What was asked for; also the label of its counters.
enum class Route : uint8_t {
  malformed,  // refused before a route was known
  unknown,    // no such path
  home,
  health,
  metrics,
  log_list,
  log_append,
  log_read,
  log_create,
  log_delete,
  count_,
};

struct Metrics {
  static constexpr std::array<uint16_t, 14> kStatuses = {200, 201, 400, 404, 405, 408, 413,
                                                         417, 431, 500, 501, 503, 505, 507};
  static constexpr size_t kRoutes = static_cast<size_t>(Route::count_);

  void count_request(Route route, uint16_t status) noexcept;

  std::array<std::array<uint64_t, kStatuses.size()>, kRoutes> requests{};
  uint64_t append_bytes = 0;
  uint64_t read_records = 0;
  uint64_t read_bytes = 0;
  uint64_t datagrams_appended = 0;
  uint64_t datagrams_refused = 0;
  uint64_t timeouts = 0;
  uint64_t streams_aborted = 0;
  uint64_t bodies_held_bytes = 0;  // now
  uint64_t scrub_corrupt = 0;
  uint64_t retention_truncations = 0;
  base::Histogram append_ns;   // one value a batch: from receipt to durable
  base::Histogram batch_size;  // appends in a batch
};

}  // namespace paste::server
