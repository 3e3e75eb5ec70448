// What a log knows in DRAM about each of its pages: a ring, so that an LSN finds its page by a
// division, truncation takes pages off the front, and a steady log allocates nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "log/entry.h"

namespace paste::log {

struct Page {
  BufferName name = kNoBuffer;
  uint64_t bytes = 0;  // of its kept records
  Bits deleted;        // as at the end of the filling ticket
  Bits verified;       // written in this life, or their checksum was checked
  Bits damaged;        // known not to be what was written
  Bits unclaimed;      // damaged so that it is not known which buffers it held
};

class PageRing {
 public:
  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] Page& operator[](uint64_t i) noexcept { return slots_[(head_ + i) & mask()]; }
  [[nodiscard]] const Page& operator[](uint64_t i) const noexcept {
    return slots_[(head_ + i) & mask()];
  }
  [[nodiscard]] Page& back() noexcept { return (*this)[size_ - 1]; }
  void push_back(const Page& page) {
    if (size_ == slots_.size()) grow();
    slots_[(head_ + size_) & mask()] = page;
    ++size_;
  }
  void pop_front() noexcept {
    head_ = (head_ + 1) & mask();
    --size_;
  }
  void pop_back() noexcept { --size_; }
  // Gives the memory back. The ring is empty then.
  void clear() noexcept {
    slots_ = {};
    head_ = size_ = 0;
  }

 private:
  [[nodiscard]] uint64_t mask() const noexcept { return slots_.size() - 1; }
  void grow() {
    std::vector<Page> wider(slots_.empty() ? 4 : slots_.size() * 2);
    for (uint64_t i = 0; i < size_; ++i) wider[i] = (*this)[i];
    slots_ = std::move(wider);
    head_ = 0;
  }

  std::vector<Page> slots_;  // a power of two
  uint64_t head_ = 0;
  uint64_t size_ = 0;
};

}  // namespace paste::log
