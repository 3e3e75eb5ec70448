// A queue in contiguous memory that gives its storage back to a common stock when it empties, so
// that ten thousand idle connections cost little and busy ones allocate nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace paste::port {

template <typename T>
class Fifo {
 public:
  // Storage that no queue uses now; shared by all queues of a driver.
  using Stock = std::vector<std::vector<T>>;

  [[nodiscard]] bool empty() const noexcept { return head_ == items_.size(); }
  [[nodiscard]] size_t size() const noexcept { return items_.size() - head_; }
  [[nodiscard]] T& front() noexcept { return items_[head_]; }
  [[nodiscard]] const T& front() const noexcept { return items_[head_]; }
  [[nodiscard]] T& back() noexcept { return items_.back(); }
  [[nodiscard]] const T& back() const noexcept { return items_.back(); }
  // Oldest first.
  [[nodiscard]] std::span<const T> items() const noexcept {
    return std::span<const T>(items_).subspan(head_);
  }

  void push(const T& item, Stock& stock) {
    if (items_.size() == items_.capacity()) [[unlikely]]
      make_room(stock);
    items_.push_back(item);
  }
  // REQUIRES: !empty().
  void pop(Stock& stock) {
    if (++head_ == items_.size()) clear(stock);
  }
  void clear(Stock& stock) {
    items_.clear();
    head_ = 0;
    if (items_.capacity() > kKeep) {
      stock.push_back(std::move(items_));
      items_ = {};
    }
  }

 private:
  static constexpr size_t kKeep = 8;  // items of storage that an empty queue keeps

  void make_room(Stock& stock) {
    if (head_ != 0 && head_ >= items_.size() / 2) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    } else if (items_.capacity() == 0) {
      items_.reserve(kKeep);
    } else if (!stock.empty() && stock.back().capacity() > items_.size()) {
      std::vector<T> larger = std::move(stock.back());
      stock.pop_back();
      larger.assign(items_.begin() + static_cast<std::ptrdiff_t>(head_), items_.end());
      items_.swap(larger);
      head_ = 0;
    } else {
      items_.reserve(std::max<size_t>(64, 2 * items_.capacity()));
    }
  }

  std::vector<T> items_;
  size_t head_ = 0;
};

}  // namespace paste::port
