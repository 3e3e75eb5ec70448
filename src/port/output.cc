#include "port/output.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.h"

namespace paste::port {
namespace {
constexpr size_t kChunksPerBlock = 32;
}

Chunk* Chunk::of(const std::byte* p) noexcept {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return reinterpret_cast<Chunk*>(address & ~uintptr_t{kBytes - 1});
}

void OutputStock::Free::operator()(std::byte* p) const noexcept {
  ::operator delete[](p, std::align_val_t{Chunk::kBytes});
}

Chunk* OutputStock::take() {
  if (free_ == nullptr) [[unlikely]] {
    blocks_.emplace_back(static_cast<std::byte*>(
        ::operator new[](kChunksPerBlock* Chunk::kBytes, std::align_val_t{Chunk::kBytes})));
    std::byte* block = blocks_.back().get();
    for (size_t i = kChunksPerBlock; i-- > 0;) {
      give_back(new (block + i * Chunk::kBytes) Chunk{nullptr, 0, 0});
    }
  }
  Chunk* chunk = free_;
  free_ = chunk->next;
  chunk->used = 0;
  chunk->unsent = 0;
  return chunk;
}

void OutputStock::give_back(Chunk* chunk) noexcept {
  chunk->next = free_;
  free_ = chunk;
}

void Output::push(const std::byte* data, uint32_t length, BufferName buffer, Ticket after,
                  OutputStock& stock) {
  bytes_ += length;
  if (!segments_.empty()) {
    Segment& last = segments_.back();
    after = std::max(after, last.after);
    // Bytes that follow the last piece in its chunk and wait for the same are one piece with it.
    if (buffer == kNoBuffer && last.buffer == kNoBuffer && last.after == after &&
        last.data + last.length == data) {
      last.length += length;
      return;
    }
  }
  segments_.push({after, data, length, buffer}, stock.segments);
}

void Output::append(Bytes bytes, Ticket after, OutputStock& stock) {
  while (!bytes.empty()) {
    if (filling_ == nullptr) filling_ = stock.take();
    Chunk& chunk = *filling_;
    const size_t n = std::min<size_t>(bytes.size(), Chunk::kRoom - chunk.used);
    std::byte* place = chunk.data() + chunk.used;
    std::memcpy(place, bytes.data(), n);
    chunk.used += static_cast<uint32_t>(n);
    chunk.unsent += static_cast<uint32_t>(n);
    if (chunk.used == Chunk::kRoom) filling_ = nullptr;
    push(place, static_cast<uint32_t>(n), kNoBuffer, after, stock);
    bytes = bytes.subspan(n);
  }
}

void Output::append(Slice slice, Ticket after, OutputStock& stock) {
  pool::Core& core = stock.core();
  core.hold(slice.buffer);
  push(core.buffer(slice.buffer) + slice.offset, slice.length, slice.buffer, after, stock);
}

uint32_t Output::gather(Ticket durable, uint64_t bytes_max, std::span<iovec> pieces,
                        uint64_t& total) const noexcept {
  uint32_t count = 0;
  total = 0;
  for (const Segment& segment : segments_.items()) {
    if (segment.after > durable || count == pieces.size() || total == bytes_max) break;
    const uint64_t n = std::min<uint64_t>(segment.length, bytes_max - total);
    pieces[count++] = {const_cast<std::byte*>(segment.data), n};
    total += n;
  }
  return count;
}

std::optional<Slice> Output::front(Ticket durable, const OutputStock& stock) const noexcept {
  if (segments_.empty() || segments_.front().after > durable) return std::nullopt;
  const Segment& first = segments_.front();
  PASTE_CHECK(first.buffer != kNoBuffer);
  return Slice{first.buffer, static_cast<uint16_t>(first.data - stock.core().buffer(first.buffer)),
               static_cast<uint16_t>(first.length)};
}

void Output::pop_keeping_hold(OutputStock& stock) noexcept {
  bytes_ -= segments_.front().length;
  segments_.pop(stock.segments);
}

void Output::pop(uint64_t n, OutputStock& stock) noexcept {
  PASTE_CHECK(n <= bytes_);
  bytes_ -= n;
  while (n > 0) {
    Segment& segment = segments_.front();
    const auto cut = static_cast<uint32_t>(std::min<uint64_t>(n, segment.length));
    n -= cut;
    if (segment.buffer == kNoBuffer) {
      Chunk* chunk = Chunk::of(segment.data);
      chunk->unsent -= cut;
      if (chunk->unsent == 0) {
        if (chunk == filling_) filling_ = nullptr;
        stock.give_back(chunk);
      }
    }
    segment.data += cut;
    segment.length -= cut;
    if (segment.length != 0) continue;
    if (segment.buffer != kNoBuffer) stock.core().release(segment.buffer);
    segments_.pop(stock.segments);
  }
}

}  // namespace paste::port
