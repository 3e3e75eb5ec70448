#include "server/metrics.h"

#include <algorithm>

#include "base/check.h"

namespace paste::server {

void Metrics::count_request(Route route, uint16_t status) noexcept {
  const auto found = std::find(kStatuses.begin(), kStatuses.end(), status);
  PASTE_CHECK(found != kStatuses.end());
  ++requests[static_cast<size_t>(route)][static_cast<size_t>(found - kStatuses.begin())];
}

}  // namespace paste::server
