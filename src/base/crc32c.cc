#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <limits>

namespace paste::base {

uint32_t crc32c_extend(uint32_t state, Bytes bytes) noexcept {
  // ISA-L takes an int length and a non-const pointer that it does not write through.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
  size_t left = bytes.size();
  while (left > 0) {
    const size_t step = std::min<size_t>(left, std::numeric_limits<int>::max());
    state = crc32_iscsi(data, static_cast<int>(step), state);
    data += step;
    left -= step;
  }
  return state;
}

}  // namespace paste::base
