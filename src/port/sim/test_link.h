// What the tests of links share: a sink that remembers what arrived and when, and frames to send.
#pragma once

#include <cstdint>
#include <vector>

#include "port/sim/link.h"

namespace paste::sim {

struct Arrival {
  tcp::Instant at;
  Frame frame;
};

class Sink final : public Endpoint {
 public:
  explicit Sink(World& world) noexcept : world_(world) {}
  void receive(Frame frame) override { arrived.push_back({world_.now(), std::move(frame)}); }

  std::vector<Arrival> arrived;

 private:
  World& world_;
};

// `size` bytes that begin with `number`. REQUIRES: size >= 4.
inline Frame numbered(uint32_t number, size_t size) {
  Frame frame(size);
  for (size_t i = 0; i < 4; ++i) frame[i] = static_cast<std::byte>(number >> 8 * i & 0xff);
  return frame;
}

inline uint32_t number_of(const Frame& frame) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number |= std::to_integer<uint32_t>(frame[i]) << 8 * i;
  return number;
}

// A world with one link into a sink.
struct LinkBed {
  explicit LinkBed(const LinkOptions& options, uint64_t seed = 1)
      : world(seed), sink(world), link(world, "link", options) {
    link.connect(sink);
  }
  // Sends `count` frames of `size` bytes, one each `gap`, then lets everything arrive.
  void send_many(uint32_t count, size_t size, Duration gap) {
    for (uint32_t i = 0; i < count; ++i) {
      link.send(numbered(i, size));
      world.run_for(gap);
    }
    world.run_until([this] { return link.idle(); }, tcp::kNever);
  }

  World world;
  Sink sink;
  Link link;
};

}  // namespace paste::sim
