// Goal: a publish list keeps the last value of each word, says when it is full, and what is written
// to an area reads back, or is told apart from nothing and from damage. Method: a std::map as twin,
// and every single bit of a written list flipped.
#include "pool/publish.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>
#include <map>

#include "base/check.h"

namespace paste::pool {
namespace {

using format::PublishItem;

TEST(PublishList, KeepsTheLastValueOfEachWord) {
  rc::check("list equals map", [](const std::vector<std::pair<uint8_t, uint64_t>>& changes) {
    PublishList list;
    for (int round = 0; round < 3; ++round) {
      std::map<uint64_t, uint64_t> twin;
      for (const auto& [word, value] : changes) {
        const uint64_t offset = (uint64_t{word} << 35) + 8 * word;
        RC_ASSERT(list.set(offset, value).has_value());
        twin[offset] = value;
      }
      RC_ASSERT(list.room() == format::kPublishItemsMax - twin.size());
      std::vector<PublishItem> items;
      list.take(items);
      RC_ASSERT(list.empty());
      RC_ASSERT(items.size() == twin.size());
      for (const PublishItem& item : items) RC_ASSERT(twin.at(item.offset) == item.value);
    }
  });
}

TEST(PublishList, FullIsBusyAndChangesNothing) {
  PublishList list;
  for (uint64_t i = 0; i < format::kPublishItemsMax; ++i) {
    ASSERT_TRUE(list.set(i * 8, i).has_value());
  }
  EXPECT_EQ(list.room(), 0u);
  const auto refused = list.set(8 * format::kPublishItemsMax, 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Code::busy);
  EXPECT_TRUE(list.set(80, 99).has_value()) << "a word that is there may change";
  EXPECT_EQ(list.items().size(), format::kPublishItemsMax);
  EXPECT_EQ(list.items()[10].value, 99u);
}

struct WrittenList {
  alignas(64) std::byte area[format::kPublishBytes] = {};
  size_t bytes = 0;
  WrittenList() {
    const PublishItem items[] = {{8, 1}, {16, 2}, {1ull << 40, 3}};
    bytes = write_list(area, items, 7, 1234);
  }
};

TEST(PublishArea, CommittedOnlyByItsCommitWord) {
  WrittenList list;
  EXPECT_EQ(list.bytes, 64u + 3 * 16);
  EXPECT_EQ(inspect_list(list.area, 1234), ListState::absent);
  *commit_word(list.area) = 7 ^ format::kCommitMagic;
  ASSERT_EQ(inspect_list(list.area, 1234), ListState::committed);
  EXPECT_EQ(list_header(list.area).ticket, 7u);
  ASSERT_EQ(list_items(list.area).size(), 3u);
  EXPECT_EQ(list_items(list.area)[2].offset, 1ull << 40);
  EXPECT_EQ(inspect_list(list.area, 1235), ListState::damaged) << "a list of another pool";
}

TEST(PublishArea, EveryFlippedBitIsSeen) {
  WrittenList list;
  *commit_word(list.area) = 7 ^ format::kCommitMagic;
  for (size_t bit = 0; bit < list.bytes * 8; ++bit) {
    const size_t at = bit / 8;
    const bool reserved = at >= 24 && at < 56;
    list.area[at] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_EQ(inspect_list(list.area, 1234), reserved ? ListState::committed : ListState::damaged)
        << "bit " << bit;
    list.area[at] ^= static_cast<std::byte>(1 << (bit % 8));
  }
}

TEST(PublishArea, HostileCountsStayInside) {
  WrittenList list;
  *commit_word(list.area) = 7 ^ format::kCommitMagic;
  auto* header = reinterpret_cast<format::PublishHeader*>(list.area);
  for (const uint32_t count : {format::kPublishItemsMax + 1, 0x10000000u, 0xFFFFFFFFu}) {
    header->count = count;
    EXPECT_EQ(inspect_list(list.area, 1234), ListState::damaged);
  }
}

}  // namespace
}  // namespace paste::pool
