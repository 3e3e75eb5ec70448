// What a simulated link does to frames. Durations are not negative, probabilities in ppm.
#pragma once

#include <cstdint>
#include <string>

#include "paste/units.h"
#include "port/sim/prng.h"

namespace paste::sim {

// Gilbert and Elliott's two states; each frame first moves the state, then is lost with the chance
// of the state it finds. A bad stretch is kPpm / to_good_ppm frames long on average.
struct BurstLoss {
  uint32_t to_bad_ppm = 0;  // 0: never bad
  uint32_t to_good_ppm = kPpm;
  uint32_t loss_bad_ppm = kPpm;
};

struct LinkOptions {
  // The path itself; faults_off() leaves it.
  uint64_t rate_bps = 0;      // bits of frames per second; 0: a frame takes no time on the line
  Duration delay{0};          // from the last bit sent to the arrival
  uint64_t queue_bytes = 0;   // waiting for the line, the one on it excluded; 0: no limit
  uint32_t queue_frames = 0;  // the same in frames; 0: no limit
  uint32_t mtu = 0;           // bytes behind the Ethernet header; 0: no limit

  // Impairments, each off when 0.
  uint32_t loss_ppm = 0;
  BurstLoss burst{};
  uint32_t duplicate_ppm = 0;
  uint32_t corrupt_ppm = 0;  // one bit is flipped, the fault that is hardest to notice
  uint32_t reorder_ppm = 0;  // frames that arrive `reorder_extra` later and let others pass
  Duration reorder_extra{0};
  Duration jitter{0};            // the delay grows by up to this, uniformly
  bool jitter_reorders = false;  // else a frame never passes another by jitter
  uint64_t ce_queue_bytes = 0;   // ECN-capable frames that find at least this queued are marked
};

// One line that names what is on, for failure reports.
[[nodiscard]] std::string to_string(const LinkOptions& options);

}  // namespace paste::sim
