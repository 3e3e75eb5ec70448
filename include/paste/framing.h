// Framing: where a message ends is the program's affair. A framing function looks at the bytes a
// connection has received, which may span buffers, and names the first message.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "paste/result.h"
#include "paste/units.h"

namespace paste {

// Received bytes in order, piece by piece, without copying.
class ByteView {
 public:
  explicit ByteView(std::span<const Bytes> pieces) noexcept;
  [[nodiscard]] size_t size() const noexcept { return size_; }
  static constexpr size_t kNone = ~size_t{0};
  // The first position >= `from` of the byte; kNone if there is none.
  [[nodiscard]] size_t find(char byte, size_t from = 0) const noexcept;
  // REQUIRES: position < size().
  [[nodiscard]] std::byte operator[](size_t position) const noexcept;

 private:
  std::span<const Bytes> pieces_;
  size_t size_ = 0;
};

// A message: its payload is [begin, begin + length), and it ends with byte `total` - 1.
struct Frame {
  size_t begin = 0;
  size_t length = 0;
  size_t total = 0;
};

// The first message; nothing if it is not complete yet; an error if the bytes cannot be one (the
// connection is then aborted).
using Framing = Result<std::optional<Frame>> (*)(const ByteView& received);

// Lines end with "\n" or "\r\n", which are not part of the message; at most 64 KiB.
Result<std::optional<Frame>> lines(const ByteView& received);
// Four bytes of length, little-endian, then as many bytes; at most 1 MiB.
Result<std::optional<Frame>> length_prefixed(const ByteView& received);

}  // namespace paste
