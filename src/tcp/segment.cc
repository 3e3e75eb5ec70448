#include "tcp/segment.h"

namespace paste::tcp {

std::optional<Segment> reset_for(const Segment& segment) noexcept {
  if (segment.has(kRst)) return std::nullopt;
  Segment reset;
  if (segment.has(kAck)) {
    reset.seq = segment.ack;
    reset.flags = kRst;
  } else {
    reset.seq = Seq{0};
    reset.ack = segment.seq + segment.length();
    reset.flags = kRst | kAck;
  }
  return reset;
}

}  // namespace paste::tcp
