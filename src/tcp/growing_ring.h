// A double-ended queue in one power-of-two array that starts empty, doubles when full and is
// bounded.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace paste::tcp {

// Capacity is kept when elements leave, so that a connection in steady state allocates nothing;
// release() gives it back. Not thread-safe.
template <typename T>
class GrowingRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr uint32_t kFirstCapacity = 8;
  static constexpr uint32_t kKeptCapacity = 64;

  // At most `limit` elements. REQUIRES: 1 ≤ limit ≤ 2^30.
  explicit GrowingRing(uint32_t limit) noexcept : limit_(limit) {
    PASTE_CHECK(limit >= 1 && limit <= (1U << 30));
  }
  // Takes over the allocation of `old`, unless it is large: what one connection needed for a long
  // path is not kept for the next. At most `limit` elements.
  GrowingRing(uint32_t limit, GrowingRing&& old) noexcept : GrowingRing(limit) {
    if (old.capacity_ > kKeptCapacity) return;
    slots_ = std::move(old.slots_);
    capacity_ = std::exchange(old.capacity_, 0);
    old.clear();
  }
  GrowingRing(GrowingRing&& other) noexcept { *this = std::move(other); }
  GrowingRing& operator=(GrowingRing&& other) noexcept {
    slots_ = std::move(other.slots_);
    capacity_ = std::exchange(other.capacity_, 0);
    head_ = std::exchange(other.head_, 0);
    size_ = std::exchange(other.size_, 0);
    limit_ = other.limit_;
    return *this;
  }

  [[nodiscard]] uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == limit_; }
  [[nodiscard]] uint32_t capacity() const noexcept { return capacity_; }

  // REQUIRES: i < size().
  [[nodiscard]] T& operator[](uint32_t i) noexcept { return slots_[at(i)]; }
  [[nodiscard]] const T& operator[](uint32_t i) const noexcept { return slots_[at(i)]; }
  [[nodiscard]] T& front() noexcept { return slots_[head_]; }
  [[nodiscard]] const T& front() const noexcept { return slots_[head_]; }
  [[nodiscard]] T& back() noexcept { return slots_[at(size_ - 1)]; }
  [[nodiscard]] const T& back() const noexcept { return slots_[at(size_ - 1)]; }

  // REQUIRES: !full().
  void push_back(const T& value) {
    PASTE_CHECK(!full());
    if (size_ == capacity_) grow();
    ++size_;
    back() = value;
  }
  // REQUIRES: !empty().
  void pop_front() noexcept {
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
  }
  // Puts `value` before element `i`, moving those behind it. REQUIRES: !full(), i ≤ size().
  void insert(uint32_t i, const T& value) {
    const T copy = value;  // growing would leave a reference into the ring dangling
    push_back(copy);
    for (uint32_t j = size_ - 1; j > i; --j) (*this)[j] = (*this)[j - 1];
    (*this)[i] = copy;
  }
  void clear() noexcept { head_ = size_ = 0; }
  void release() noexcept {
    clear();
    slots_.reset();
    capacity_ = 0;
  }

 private:
  [[nodiscard]] uint32_t at(uint32_t i) const noexcept { return (head_ + i) & (capacity_ - 1); }
  void grow() {
    const uint32_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
    auto slots = std::make_unique_for_overwrite<T[]>(capacity);
    for (uint32_t i = 0; i < size_; ++i) slots[i] = (*this)[i];
    slots_ = std::move(slots);
    capacity_ = capacity;
    head_ = 0;
  }

  std::unique_ptr<T[]> slots_;
  uint32_t capacity_ = 0;
  uint32_t head_ = 0;
  uint32_t size_ = 0;
  uint32_t limit_ = 1;
};

}  // namespace paste::tcp
