// A partly filled data buffer into which short byte ranges are packed. Each range has its own hold
// on the buffer, so the buffer lives as long as the last of them.
#pragma once

#include <cstdint>

#include "pool/core.h"

namespace paste::log {

class ByteBuffer {
 public:
  // A range of `bytes` bytes; one hold of its buffer is the caller's. Errors: pool_full, failed.
  // REQUIRES: 0 < bytes <= buffer_size.
  Result<Slice> allocate(pool::Core& core, uint32_t bytes);
  // Gives up the rest of the buffer.
  void close(pool::Core& core) noexcept;

 private:
  BufferName name_ = kNoBuffer;  // held once for this object
  uint32_t used_ = 0;
};

}  // namespace paste::log
