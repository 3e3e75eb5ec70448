// What the server does by the clock: retention, seals, scrub. Private to src/server.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "server/context.h"

namespace paste::server {

class Housekeeping {
 public:
  explicit Housekeeping(Context& context) : context_(context) {}
  static constexpr Duration kTick{100'000'000};
  static constexpr uint32_t kTicksPerSecond = 10;

  void tick();
  // Seals every log that can be. Errors: failed.
  Result<void> seal_all();

 private:
  struct Seen {
    Lsn next = 0;
    uint64_t since_ns = 0;
    bool sealed = false;
  };
  void retain();
  void seal_idle();
  void scrub();

  Context& context_;
  std::unordered_map<uint64_t, Seen> seen_;  // by log id
  uint32_t ticks_ = 0;
};

}  // namespace paste::server
