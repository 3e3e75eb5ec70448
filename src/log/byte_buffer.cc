#include "log/byte_buffer.h"

#include "base/check.h"

namespace paste::log {
namespace {

Slice slice_of(BufferName name, uint32_t offset, uint32_t bytes) noexcept {
  return {name, static_cast<uint16_t>(offset), static_cast<uint16_t>(bytes)};
}

}  // namespace

Result<Slice> ByteBuffer::allocate(pool::Core& core, uint32_t bytes) {
  PASTE_CHECK(bytes > 0 && bytes <= core.buffer_size());
  if (name_ != kNoBuffer && used_ + bytes <= core.buffer_size()) {
    const Slice range = slice_of(name_, used_, bytes);
    core.hold(name_);
    used_ = (used_ + bytes + 7) & ~7u;  // piece lists start on words
    return range;
  }
  PASTE_TRY_ASSIGN(const BufferName fresh, core.take(pool::Purpose::data));
  // Of the two buffers, the one with more room left serves the next ranges.
  if (bytes < core.buffer_size() && (name_ == kNoBuffer || bytes < used_)) {
    close(core);
    core.hold(fresh);
    name_ = fresh;
    used_ = (bytes + 7) & ~7u;
  }
  return slice_of(fresh, 0, bytes);
}

void ByteBuffer::close(pool::Core& core) noexcept {
  if (name_ != kNoBuffer) core.release(name_);
  name_ = kNoBuffer;
  used_ = 0;
}

}  // namespace paste::log
