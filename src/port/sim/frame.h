// What moves through the simulation: opaque Ethernet frames.
#pragma once

#include <cstddef>
#include <vector>

namespace paste::sim {

// From the destination address up to the end of the payload, without the frame check sequence.
using Frame = std::vector<std::byte>;

inline constexpr size_t kEthernetHeader = 14;

// Something that a link ends at.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // Takes a frame that has arrived. May send on any link, also on the one that delivers.
  virtual void receive(Frame frame) = 0;

 protected:
  Endpoint() = default;
  Endpoint(const Endpoint&) = default;
  Endpoint& operator=(const Endpoint&) = default;
};

}  // namespace paste::sim
