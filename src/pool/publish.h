// The publish list: the words that a ticket changes together. Built in DRAM while the ticket
// fills, written to one of two areas when it closes, redone from there at open.
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "paste/result.h"
#include "paste/units.h"
#include "pool/format.h"

namespace paste::pool {

// The words of the filling ticket. The last value given for a word wins.
class PublishList {
 public:
  PublishList();

  // Errors: busy — the list is full and the word is not in it.
  Result<void> set(uint64_t offset, uint64_t value);
  [[nodiscard]] uint32_t room() const noexcept {
    return format::kPublishItemsMax - static_cast<uint32_t>(items_.size());
  }
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] std::span<const format::PublishItem> items() const noexcept { return items_; }
  // Hands the items over to `to` (its capacity comes back here) and starts anew.
  void take(std::vector<format::PublishItem>& to);

 private:
  struct Place {
    uint32_t round = 0;  // equal to round_: in use
    uint32_t item = 0;
  };
  static constexpr uint32_t kPlaces = 8192;  // twice the items, a power of two
  static_assert(kPlaces >= 2 * format::kPublishItemsMax);

  std::vector<format::PublishItem> items_;
  std::vector<Place> places_;
  uint32_t round_ = 1;
};

// Writes the list into its area with the commit word 0. VOLATILE. Returns the bytes used.
// REQUIRES: 0 < items.size() <= kPublishItemsMax.
size_t write_list(std::byte* area, std::span<const format::PublishItem> items, uint64_t ticket,
                  uint32_t uuid_state);

enum class ListState : uint8_t { absent, committed, damaged };

// Looks at an area: absent (never committed, or retired), committed, or damaged (a commit word
// without its list: the medium, not a crash, did that).
[[nodiscard]] ListState inspect_list(const std::byte* area, uint32_t uuid_state) noexcept;

// REQUIRES: inspect_list() said committed.
[[nodiscard]] const format::PublishHeader& list_header(const std::byte* area) noexcept;
[[nodiscard]] std::span<const format::PublishItem> list_items(const std::byte* area) noexcept;

[[nodiscard]] uint64_t* commit_word(std::byte* area) noexcept;

}  // namespace paste::pool
