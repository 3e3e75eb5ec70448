#include "pool/publish.h"

#include <cstring>

#include "base/crc32c.h"

namespace paste::pool {

using format::PublishHeader;
using format::PublishItem;

PublishList::PublishList() : places_(kPlaces) { items_.reserve(format::kPublishItemsMax); }

Result<void> PublishList::set(uint64_t offset, uint64_t value) {
  // Fibonacci hashing of the word's number; linear probing ends because half the places are empty.
  uint32_t at = static_cast<uint32_t>(((offset / 8) * 0x9E3779B97F4A7C15ull) >> 51);
  for (;; at = (at + 1) % kPlaces) {
    Place& place = places_[at];
    if (place.round != round_) {
      if (items_.size() == format::kPublishItemsMax) {
        return fail(Code::busy, "this batch changes too much; commit and try again");
      }
      place = {round_, static_cast<uint32_t>(items_.size())};
      items_.push_back({offset, value});
      return {};
    }
    if (items_[place.item].offset == offset) {
      items_[place.item].value = value;
      return {};
    }
  }
}

void PublishList::take(std::vector<PublishItem>& to) {
  to.swap(items_);
  items_.clear();
  items_.reserve(format::kPublishItemsMax);
  if (++round_ == 0) {  // after four thousand million lists: old marks could look new
    places_.assign(kPlaces, Place{});
    round_ = 1;
  }
}

namespace {

uint32_t list_crc(uint32_t uuid_state, const PublishHeader& header, const std::byte* items) {
  uint32_t state = base::crc32c_extend_value(uuid_state, header.ticket);
  state = base::crc32c_extend_value(state, header.count);
  state = base::crc32c_extend(state, {items, header.count * sizeof(PublishItem)});
  return base::crc32c_finish(state);
}

}  // namespace

size_t write_list(std::byte* area, std::span<const PublishItem> items, uint64_t ticket,
                  uint32_t uuid_state) {
  std::byte* body = area + sizeof(PublishHeader);
  std::memcpy(body, items.data(), items.size_bytes());
  PublishHeader header{};
  header.magic = format::kPublishMagic;
  header.ticket = ticket;
  header.count = static_cast<uint32_t>(items.size());
  header.crc = list_crc(uuid_state, header, body);
  std::memcpy(area, &header, sizeof header);
  return sizeof header + items.size_bytes();
}

const PublishHeader& list_header(const std::byte* area) noexcept {
  return *reinterpret_cast<const PublishHeader*>(area);
}

std::span<const PublishItem> list_items(const std::byte* area) noexcept {
  return {reinterpret_cast<const PublishItem*>(area + sizeof(PublishHeader)),
          list_header(area).count};
}

uint64_t* commit_word(std::byte* area) noexcept {
  return &reinterpret_cast<PublishHeader*>(area)->commit;
}

ListState inspect_list(const std::byte* area, uint32_t uuid_state) noexcept {
  const PublishHeader& header = list_header(area);
  if (header.commit == 0) return ListState::absent;
  const bool whole = header.magic == format::kPublishMagic && header.ticket != 0 &&
                     header.commit == (header.ticket ^ format::kCommitMagic) &&
                     header.count <= format::kPublishItemsMax &&
                     header.crc == list_crc(uuid_state, header, area + sizeof header);
  return whole ? ListState::committed : ListState::damaged;
}

}  // namespace paste::pool
