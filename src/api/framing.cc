#include "paste/framing.h"

#include <cstring>

#include "base/check.h"

namespace paste {
namespace {

constexpr size_t kLineMax = 64 * 1024;
constexpr size_t kPrefixedMax = 1024 * 1024;

}  // namespace

ByteView::ByteView(std::span<const Bytes> pieces) noexcept : pieces_(pieces) {
  for (const Bytes& piece : pieces) size_ += piece.size();
}

size_t ByteView::find(char byte, size_t from) const noexcept {
  size_t base = 0;
  for (const Bytes& piece : pieces_) {
    if (from < base + piece.size()) {
      const size_t skip = from > base ? from - base : 0;
      const void* hit = std::memchr(piece.data() + skip, byte, piece.size() - skip);
      if (hit != nullptr)
        return base + static_cast<size_t>(static_cast<const std::byte*>(hit) - piece.data());
    }
    base += piece.size();
  }
  return kNone;
}

std::byte ByteView::operator[](size_t position) const noexcept {
  PASTE_CHECK(position < size_);
  for (const Bytes& piece : pieces_) {
    if (position < piece.size()) return piece[position];
    position -= piece.size();
  }
  return std::byte{0};  // not reached: size_ is the sum of the pieces
}

Result<std::optional<Frame>> lines(const ByteView& received) {
  const size_t end = received.find('\n');
  if (end == ByteView::kNone ? received.size() > kLineMax : end > kLineMax) {
    return fail(Code::too_large, "a line is longer than 64 KiB");
  }
  if (end == ByteView::kNone) return std::nullopt;
  const bool cr = end > 0 && received[end - 1] == std::byte{'\r'};
  return Frame{.begin = 0, .length = cr ? end - 1 : end, .total = end + 1};
}

Result<std::optional<Frame>> length_prefixed(const ByteView& received) {
  if (received.size() < 4) return std::nullopt;
  size_t length = 0;
  for (size_t i = 0; i < 4; ++i) length |= std::to_integer<size_t>(received[i]) << (8 * i);
  if (length > kPrefixedMax) return fail(Code::too_large, "a message is longer than 1 MiB");
  if (received.size() < 4 + length) return std::nullopt;
  return Frame{.begin = 4, .length = length, .total = 4 + length};
}

}  // namespace paste
