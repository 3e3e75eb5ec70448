#include "port/sim/swarm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

namespace paste::sim {
namespace {

constexpr uint32_t kHalf = kPpm / 2;

uint32_t ppm(Prng& prng, uint32_t most) { return static_cast<uint32_t>(skewed(prng, most)); }

Duration up_to(Prng& prng, Duration most) {
  return Duration(static_cast<int64_t>(skewed(prng, static_cast<uint64_t>(most.count()))));
}

}  // namespace

uint64_t skewed(Prng& prng, uint64_t most) {
  // A uniform number of halvings first: every order of magnitude is about equally likely.
  const uint64_t limit = most >> prng.below(12);
  return prng.between(1, std::max<uint64_t>(limit, 1));
}

LinkOptions swarm_link(Prng prng) {
  using std::chrono::milliseconds;
  LinkOptions o;
  // Each part has its own generator: a change to one leaves the others' draws.
  if (Prng p = prng.fork("rate"); p.chance(kHalf)) {
    o.rate_bps = 256'000 + skewed(p, 10'000'000'000);
  }
  if (Prng p = prng.fork("delay"); p.chance(kHalf)) o.delay = up_to(p, milliseconds(200));
  if (Prng p = prng.fork("queue bytes"); p.chance(kHalf)) {
    o.queue_bytes = 3'000 + skewed(p, 1'000'000);
  }
  if (Prng p = prng.fork("queue frames"); p.chance(kHalf)) {
    o.queue_frames = static_cast<uint32_t>(2 + skewed(p, 1'000));
  }
  if (Prng p = prng.fork("mtu"); p.chance(kHalf)) {
    o.mtu = static_cast<uint32_t>(p.between(1'500, 9'000));
  }
  if (Prng p = prng.fork("loss"); p.chance(kHalf)) o.loss_ppm = ppm(p, 200'000);
  if (Prng p = prng.fork("burst"); p.chance(kHalf)) {
    o.burst = {ppm(p, 20'000), 100'000 + ppm(p, 900'000), kPpm - ppm(p, 800'000)};
  }
  if (Prng p = prng.fork("duplicate"); p.chance(kHalf)) o.duplicate_ppm = ppm(p, 100'000);
  if (Prng p = prng.fork("corrupt"); p.chance(kHalf)) o.corrupt_ppm = ppm(p, 50'000);
  if (Prng p = prng.fork("reorder"); p.chance(kHalf)) {
    o.reorder_ppm = ppm(p, 200'000);
    o.reorder_extra = up_to(p, milliseconds(100));
  }
  if (Prng p = prng.fork("jitter"); p.chance(kHalf)) {
    o.jitter = up_to(p, milliseconds(50));
    o.jitter_reorders = p.chance(kHalf);
  }
  if (Prng p = prng.fork("ce"); p.chance(kHalf)) o.ce_queue_bytes = skewed(p, 200'000);
  return o;
}

std::string to_string(const LinkOptions& o) {
  std::string text = fmt::format("link{{rate={}bps delay={}", o.rate_bps, format_duration(o.delay));
  const auto add = [&text](const char* name, uint64_t value) {
    if (value != 0) fmt::format_to(std::back_inserter(text), " {}={}", name, value);
  };
  add("queue_bytes", o.queue_bytes);
  add("queue_frames", o.queue_frames);
  add("mtu", o.mtu);
  add("loss_ppm", o.loss_ppm);
  if (o.burst.to_bad_ppm != 0) {
    fmt::format_to(std::back_inserter(text), " burst_ppm={}/{}/{}", o.burst.to_bad_ppm,
                   o.burst.to_good_ppm, o.burst.loss_bad_ppm);
  }
  add("duplicate_ppm", o.duplicate_ppm);
  add("corrupt_ppm", o.corrupt_ppm);
  add("reorder_ppm", o.reorder_ppm);
  add("reorder_extra_ns", static_cast<uint64_t>(o.reorder_extra.count()));
  add("jitter_ns", static_cast<uint64_t>(o.jitter.count()));
  if (o.jitter_reorders) text += " jitter_reorders";
  add("ce_queue_bytes", o.ce_queue_bytes);
  return text + "}";
}

}  // namespace paste::sim
