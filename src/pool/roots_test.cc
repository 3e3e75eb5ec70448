// Goal: roots are what was last published, through crashes, beyond one page, and their ids are
// never given twice. Method: reopening from what a power loss leaves; damage of each byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "pool/superblock.h"
#include "pool/test_region.h"

namespace paste::pool {
namespace {

using format::RootEntry;
using format::RootPageHeader;
using format::RootType;

std::string name_of(uint64_t i) { return "log" + std::to_string(i); }

TEST(Roots, CreateUpdateDelete) {
  TestPool<> pool;
  Root* a = must(pool.core->create_root(RootType::log, "a", {1, 2, 3}));
  EXPECT_EQ(pool.core->find_root("a"), a) << "seen at once";
  EXPECT_EQ(pool.core->create_root(RootType::log, "a", {}).error().code(), Code::exists);
  pool.commit();
  must(pool.core->update_root(*a, {4, 5, 6}));
  EXPECT_EQ(a->words[0], 4u);
  EXPECT_EQ(a->entry->words[0], 1u) << "its bytes keep the old value until the ticket is durable";
  EXPECT_EQ(must(open_image(pool.region->durable))->find_root("a")->words[0], 1u);
  pool.commit();
  EXPECT_EQ(must(open_image(pool.region->durable))->find_root("a")->words[0], 4u);
  must(pool.core->delete_root(*a));
  EXPECT_EQ(pool.core->find_root("a"), nullptr);
  EXPECT_FALSE(a->live);
  EXPECT_NE(must(open_image(pool.region->durable))->find_root("a"), nullptr);
  pool.commit();
  EXPECT_TRUE(must(open_image(pool.region->durable))->roots().empty());
  EXPECT_EQ(a->name, "a") << "the address stays good";
}

TEST(Roots, NamesAreChecked) {
  TestPool<> pool;
  EXPECT_EQ(pool.core->create_root(RootType::log, "", {}).error().code(), Code::invalid);
  const std::string longest(64, 'x');
  EXPECT_EQ(pool.core->create_root(RootType::log, longest + "x", {}).error().code(), Code::invalid);
  must(pool.core->create_root(RootType::log, longest, {}));
  must(pool.core->create_root(RootType::log, std::string_view("\0\xff", 2), {}));
  EXPECT_EQ(pool.core->create_root(RootType::tree, "t", {}).error().code(), Code::unsupported);
  pool.commit();
  auto again = must(open_image(pool.region->durable));
  EXPECT_NE(again->find_root(longest), nullptr);
  EXPECT_NE(again->find_root(std::string_view("\0\xff", 2)), nullptr);
}

TEST(Roots, IdsAreNeverGivenTwice) {
  TestPool<> pool;
  std::set<uint64_t> ids;
  auto core = std::move(pool.core);
  Image durable;
  for (int round = 0; round < 30; ++round) {
    Root* root = must(core->create_root(RootType::log, "again", {}));
    EXPECT_TRUE(ids.insert(root->id).second);
    must(core->wait_durable(core->filling()));
    must(core->delete_root(*root));
    must(core->wait_durable(core->filling()));
    if (round % 5 != 4) continue;
    const std::byte* at = core->region().data();
    core = must(open_image(Image(at, at + core->region().size())));
  }
}

TEST(Roots, MoreThanAPageHolds) {
  for (const uint32_t size : {2048u, 4096u}) {
    TestPool<> pool(1 << 20, size);
    const uint64_t count = 4 * format::root_entries_per_page(size) + 3;
    for (uint64_t i = 0; i < count; ++i) {
      must(pool.core->create_root(RootType::log, name_of(i), {i, i + 1, i + 2}));
      if (i % 3 == 0) pool.commit();
    }
    pool.commit();
    auto again = must(open_image(pool.region->durable));
    EXPECT_EQ(again->roots().size(), count);
    for (uint64_t i = 0; i < count; ++i) {
      const Root* root = again->find_root(name_of(i));
      ASSERT_NE(root, nullptr) << i;
      EXPECT_EQ(root->words[1], i + 1);
      EXPECT_EQ(root->id, i + 1);
    }
    EXPECT_EQ(again->stats().buffers_structure, 4u) << "the further root pages";
    must(again->create_root(RootType::log, "one more", {}));
    must(again->wait_durable(again->filling()));
    const std::byte* at = again->region().data();
    auto third = must(open_image(Image(at, at + again->region().size())));
    EXPECT_EQ(third->roots().size(), count + 1);
  }
}

TEST(Roots, APlaceIsUsedAgainOnlyWhenItsDeletionIsRetired) {
  TestPool<> pool;
  const uint32_t per_page = format::root_entries_per_page(2048);
  std::vector<Root*> roots;
  for (uint32_t i = 0; i < per_page; ++i) {
    roots.push_back(must(pool.core->create_root(RootType::log, name_of(i), {})));
  }
  pool.settle();
  RootEntry* place = roots[3]->entry;
  must(pool.core->delete_root(*roots[3]));
  EXPECT_NE(must(pool.core->create_root(RootType::log, "new", {}))->entry, place);
  pool.settle();
  std::set<RootEntry*> places;
  for (uint32_t i = 0; i < per_page; ++i) {
    places.insert(must(pool.core->create_root(RootType::log, "n" + name_of(i), {}))->entry);
  }
  EXPECT_EQ(places.count(place), 1u) << "but then it is";
}

TEST(Roots, ManyGenerationsStayInOnePage) {
  TestPool<> pool;
  for (int i = 0; i < 500; ++i) {
    Root* root = must(pool.core->create_root(RootType::log, "x", {}));
    pool.settle();
    must(pool.core->delete_root(*root));
    pool.settle();
  }
  EXPECT_EQ(pool.core->stats().buffers_structure, 0u) << "no further root page was needed";
}

TEST(Roots, AFullListIsBusyAndChangesNothing) {
  TestPool<> pool(1 << 20);
  Root* root = must(pool.core->create_root(RootType::log, "x", {1, 1, 1}));
  pool.commit();
  std::vector<BufferName> pages;
  for (int i = 0; i < 16; ++i) pages.push_back(must(pool.core->take_zeroed(Purpose::structure)));
  for (uint32_t i = 0; pool.core->publish_room() >= Core::kRootUpdateWords; ++i) {
    must(pool.core->publish(pool.word(pages[i / 256], i % 256), 1));
  }
  EXPECT_EQ(pool.core->update_root(*root, {2, 2, 2}).error().code(), Code::busy);
  EXPECT_EQ(pool.core->delete_root(*root).error().code(), Code::busy);
  EXPECT_EQ(pool.core->create_root(RootType::log, "y", {}).error().code(), Code::busy);
  EXPECT_EQ(root->words[0], 1u);
  EXPECT_TRUE(root->live);
  pool.commit();
  must(pool.core->update_root(*root, {2, 2, 2}));
}

TEST(Roots, AFullPoolRefusesANewPage) {
  TestPool<> pool;
  for (uint32_t i = 0; i < format::root_entries_per_page(2048); ++i) {
    must(pool.core->create_root(RootType::log, name_of(i), {}));
    pool.commit();
  }
  while (pool.core->take(Purpose::data)) continue;
  EXPECT_EQ(pool.core->create_root(RootType::log, "y", {}).error().code(), Code::pool_full);
  must(pool.core->delete_root(*pool.core->find_root(name_of(2))));
  pool.settle();
  must(pool.core->create_root(RootType::log, "y", {}));
}

// --- Damage -----------------------------------------------------------------------------------

Image two_pages() {
  TestPool<> pool;
  for (uint64_t i = 0; i < 20; ++i) {
    must(pool.core->create_root(RootType::log, name_of(i), {i, i, i}));
  }
  pool.settle();
  return pool.region->durable;
}
RootPageHeader* first_page(Image& image) {
  return reinterpret_cast<RootPageHeader*>(&image[format::kFirstRootOffset]);
}
RootEntry* entry(Image& image, size_t i) {
  return reinterpret_cast<RootEntry*>(&image[format::kFirstRootOffset]) + 1 + i;
}
Result<std::unique_ptr<Core>> checked(const Image& image, std::vector<Finding>& findings) {
  return open_image(image, {.findings = &findings});
}
void expect_refused(const Image& image, const std::string& what, Code code = Code::corrupt) {
  auto opened = open_image(image);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), code);
  EXPECT_NE(opened.error().message().find(what), std::string::npos) << opened.error().message();
  EXPECT_NE(opened.error().message().find("pst pool check"), std::string::npos);
  std::vector<Finding> findings;
  (void)checked(image, findings);
  ASSERT_FALSE(findings.empty());
  EXPECT_EQ(findings[0].what, what);
}

TEST(RootDamage, EveryByteOfAnEntryCounts) {
  const Image good = two_pages();
  for (size_t at = 0; at < sizeof(RootEntry) - 8; ++at) {
    const bool counts =
        at < 10 || (at >= 12 && at < 16 + 4) || at >= 80;  // "log4", not what follows
    Image image = good;
    image[format::kFirstRootOffset + 5 * sizeof(RootEntry) + at] ^= std::byte{0x55};
    if (counts) {
      expect_refused(image, "root entry 4 of page 64");
    } else {
      EXPECT_TRUE(open_image(image).has_value()) << at;
    }
  }
}

TEST(RootDamage, CheckingGoesOnBehindADamagedEntry) {
  Image image = two_pages();
  entry(image, 1)->words[0] ^= 1;
  entry(image, 7)->name[0] ^= 1;
  std::vector<Finding> findings;
  auto core = must(checked(image, findings));
  EXPECT_EQ(findings.size(), 2u);
  EXPECT_EQ(core->roots().size(), 18u);
}

TEST(RootDamage, EveryByteOfAHeaderCounts) {
  const Image good = two_pages();
  for (size_t at = 0; at < 40; ++at) {
    Image image = good;
    image[format::kFirstRootOffset + at] ^= std::byte{0x55};
    expect_refused(image, "root page 64");
  }
}

TEST(RootDamage, HostileChainsEnd) {
  for (const uint64_t next : {uint64_t{64}, uint64_t{1}, uint64_t{65}, uint64_t{127}, uint64_t{128},
                              uint64_t{0xFFFFFFFF}, uint64_t{1} << 32, (uint64_t{1} << 32) + 66}) {
    Image image = two_pages();
    RootPageHeader* first = first_page(image);
    if (next == first->next_page) continue;
    first->next_page = next;
    first->check = root_page_check(*first);
    EXPECT_FALSE(open_image(image).has_value()) << next;
    std::vector<Finding> findings;
    (void)checked(image, findings);
    EXPECT_FALSE(findings.empty()) << next;
  }
  // A second page that names itself.
  Image image = two_pages();
  const auto second = static_cast<BufferName>(first_page(image)->next_page);
  auto* header = reinterpret_cast<RootPageHeader*>(&image[uint64_t{second} * 2048]);
  header->next_page = second;
  header->check = root_page_check(*header);
  expect_refused(image, "root page " + std::to_string(second));
}

TEST(RootDamage, IdsAndNamesStandOnce) {
  const auto forge = [](auto&& change) {
    Image image = two_pages();
    change(image);
    RootEntry* forged = entry(image, 2);
    forged->live = forged->id;
    forged->crc = root_entry_crc(*forged);
    forged->check = root_entry_check(forged->id, forged->live, forged->words);
    first_page(image)->check = root_page_check(*first_page(image));
    return image;
  };
  EXPECT_TRUE(open_image(forge([](Image&) {})).has_value());
  expect_refused(forge([](Image& i) { entry(i, 2)->id = 999; }), "root 999");
  expect_refused(forge([](Image& i) { entry(i, 2)->id = entry(i, 3)->id; }),
                 "root " + std::to_string([] {
                   Image image = two_pages();
                   return entry(image, 3)->id;
                 }()));
  Image image = forge([](Image& i) { std::memcpy(entry(i, 2)->name, entry(i, 3)->name, 4); });
  EXPECT_FALSE(open_image(image).has_value());
  expect_refused(forge([](Image& i) { entry(i, 2)->type = 2; }), "root entry 2 of page 64",
                 Code::unsupported);
  expect_refused(forge([](Image& i) { first_page(i)->next_id = 0; }), "root page 64");
}

}  // namespace
}  // namespace paste::pool
