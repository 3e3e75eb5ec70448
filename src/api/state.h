// What is behind the handles of include/paste.
#pragma once

#include <memory>

#include "log/log.h"
#include "paste/pool.h"
#include "pool/core.h"

namespace paste {

inline constexpr uint64_t kPoolBytesMin = uint64_t{16} << 20;
// Truncated pages given back per commit: bounds the work that one batch may add.
inline constexpr uint32_t kReclaimPagesPerBatch = 64;

struct Pool::State {
  std::unique_ptr<pool::Core> core;  // first: the logs point into it
  std::unique_ptr<log::Logs> logs;
};

}  // namespace paste
