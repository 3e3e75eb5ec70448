#include "tcp/send_queue.h"

namespace paste::tcp {

Result<> SendQueue::append(Slice slice, uint64_t cookie) {
  if (slice.length == 0) return fail(Code::invalid, "a slice to send must have at least one byte");
  if (ring_.full()) {
    return fail(Code::busy,
                "the connection holds as many unacknowledged slices as it may: wait for "
                "acknowledgements, then send again");
  }
  if (bytes() + slice.length >= kBytesMax) {
    return fail(Code::too_large,
                "the connection holds 1 GiB of unacknowledged bytes: wait for acknowledgements");
  }
  ring_.push_back({cookie, slice, end_});
  end_ += slice.length;
  return {};
}

uint32_t SendQueue::find(Seq s) const noexcept {
  uint32_t low = 0, high = ring_.size() - 1;
  while (low < high) {
    const uint32_t middle = (low + high + 1) / 2;
    if (ring_[middle].begin <= s) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

SendQueue::Gathered SendQueue::range(Seq begin, uint32_t length,
                                     std::span<Slice> out) const noexcept {
  Gathered gathered;
  if (begin < begin_ || begin >= end_) return gathered;
  uint32_t skip = begin.value;
  uint32_t i = find(begin);
  skip -= ring_[i].begin.value;
  for (; i < ring_.size() && gathered.slices < out.size() && length > 0; ++i) {
    Slice slice = ring_[i].slice;
    slice.offset = static_cast<uint16_t>(slice.offset + skip);
    slice.length = static_cast<uint16_t>(std::min(slice.length - skip, length));
    skip = 0;
    length -= slice.length;
    gathered.bytes += slice.length;
    out[gathered.slices++] = slice;
  }
  return gathered;
}

}  // namespace paste::tcp
