#include "tcp/reno.h"

namespace paste::tcp {

void Reno::avoid(Window& window, const AckEvent& ack) noexcept {
  counted_ += ack.acked_bytes;
  // RFC 3465 §2.1, RFC 5681 §3.1: one segment for each whole window acknowledged.
  if (counted_ < window.cwnd) return;
  counted_ = std::min(counted_ - window.cwnd, window.cwnd);
  window.grow(window.mss);
}

uint64_t Reno::reduce(const Window& window, uint64_t flight) noexcept {
  counted_ = 0;
  return std::max<uint64_t>(flight / 2, uint64_t{2} * window.mss);  // RFC 5681 §3.1 equation 4
}

}  // namespace paste::tcp
