// A bounded table of entries by FourTuple, whose entries also stand in a few lists, oldest first.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "tcp/tuple.h"

namespace paste::tcp {

// Entry has a member `FourTuple tuple`. All memory is allocated at the start: an entry costs
// sizeof(Entry) + 12 bytes and 4 to 8 bytes of buckets. Chains stay short under hash flooding, as
// the hash is keyed. Each entry in the table is in exactly one list.
template <typename Entry, uint32_t kLists>
class TupleTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  TupleTable(uint32_t capacity, SipKey key)
      : hash_{key}, buckets_(std::bit_ceil(capacity + 1u), kNone), nodes_(capacity) {
    for (uint32_t i = 0; i < capacity; ++i) nodes_[i].chain = i + 1 < capacity ? i + 1 : kNone;
    free_ = capacity > 0 ? 0 : kNone;
  }

  [[nodiscard]] uint32_t find(const FourTuple& tuple) const noexcept {
    uint32_t i = buckets_[bucket(tuple)];
    while (i != kNone && nodes_[i].entry.tuple != tuple) i = nodes_[i].chain;
    return i;
  }
  // Puts an entry at the end of `list`. REQUIRES: !full(), and its tuple is not in the table.
  uint32_t insert(const Entry& entry, uint32_t list) noexcept {
    PASTE_CHECK(free_ != kNone);
    const uint32_t i = free_;
    Node& node = nodes_[i];
    free_ = node.chain;
    node.entry = entry;
    uint32_t& first = buckets_[bucket(entry.tuple)];
    node.chain = first;
    first = i;
    append(i, list);
    ++size_;
    return i;
  }
  void erase(uint32_t i, uint32_t list) noexcept {
    uint32_t* at = &buckets_[bucket(nodes_[i].entry.tuple)];
    while (*at != i) at = &nodes_[*at].chain;
    *at = nodes_[i].chain;
    remove(i, list);
    nodes_[i].chain = free_;
    free_ = i;
    --size_;
  }
  void move(uint32_t i, uint32_t from, uint32_t to) noexcept {
    remove(i, from);
    append(i, to);
  }
  // The entry that has been in `list` for the longest time; kNone if it is empty.
  [[nodiscard]] uint32_t oldest(uint32_t list) const noexcept { return lists_[list].head; }
  [[nodiscard]] Entry& operator[](uint32_t i) noexcept { return nodes_[i].entry; }
  [[nodiscard]] const Entry& operator[](uint32_t i) const noexcept { return nodes_[i].entry; }
  [[nodiscard]] uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool full() const noexcept { return free_ == kNone; }

 private:
  struct Node {
    Entry entry{};
    uint32_t chain = kNone;  // the next of the bucket, or of the free ones
    uint32_t prev = kNone;
    uint32_t next = kNone;
  };
  struct List {
    uint32_t head = kNone;
    uint32_t tail = kNone;
  };

  [[nodiscard]] size_t bucket(const FourTuple& t) const noexcept {
    return hash_(t) & (buckets_.size() - 1);
  }
  void append(uint32_t i, uint32_t list) noexcept {
    List& l = lists_[list];
    nodes_[i].prev = l.tail;
    nodes_[i].next = kNone;
    (l.tail == kNone ? l.head : nodes_[l.tail].next) = i;
    l.tail = i;
  }
  void remove(uint32_t i, uint32_t list) noexcept {
    List& l = lists_[list];
    const Node& node = nodes_[i];
    (node.prev == kNone ? l.head : nodes_[node.prev].next) = node.next;
    (node.next == kNone ? l.tail : nodes_[node.next].prev) = node.prev;
  }

  TupleHash hash_;
  std::vector<uint32_t> buckets_;
  std::vector<Node> nodes_;
  std::array<List, kLists> lists_{};
  uint32_t free_ = kNone;
  uint32_t size_ = 0;
};

}  // namespace paste::tcp
