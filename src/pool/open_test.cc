// Goal: a pool opens as it was made, or says what is wrong; no image makes open read outside the
// region, store where it must not, or run forever. Method: damage of single copies, hostile but
// well-checksummed superblocks, lists and roots, random bytes, every domain against every other,
// and a pool of 64 GiB in memory that is not there until it is touched.
#include <gtest/gtest.h>

#include <random>

#include "pool/superblock.h"
#include "pool/test_region.h"

namespace paste::pool {
namespace {

using format::Superblock;

Superblock* superblock(Image& image, uint32_t copy) {
  return reinterpret_cast<Superblock*>(&image[format::kSuperblockOffset[copy]]);
}

Image made_image(uint32_t buffer_size = 2048) {
  TestPool<> pool(kSmall, buffer_size);
  must(pool.core->create_root(format::RootType::log, "orders", {7, 8, 9}));
  pool.settle();
  return pool.region->durable;
}

Code code_of(const Result<std::unique_ptr<Core>>& opened) {
  return opened ? Code::exists : opened.error().code();
}

std::vector<Finding> check(const Image& image) {
  std::vector<Finding> findings;
  (void)open_image(image, {.findings = &findings});
  return findings;
}

TEST(Create, RefusesWhatCannotBeAPool) {
  PlainRegion small(kRegionBytesMin - 4096);
  EXPECT_EQ(Core::create(small, {}).error().code(), Code::invalid);
  PlainRegion region(kSmall);
  EXPECT_EQ(Core::create(region, {.buffer_size = 1024}).error().code(), Code::invalid);
  EXPECT_EQ(Core::create(region, {.buffer_size = 8192}).error().code(), Code::invalid);
  region.add_bad(131072 + 1, 1);
  EXPECT_EQ(Core::create(region, {}).error().code(), Code::io);
}

TEST(Create, IsDurableOnReturnAndIgnoresWhatWasThere) {
  for (const uint32_t size : {2048u, 4096u}) {
    FakeRegion region(kSmall);
    std::memset(region.data(), 0xFF, region.size());
    must(Core::create(region, {.buffer_size = size}));
    auto core = must(open_image(region.durable));
    EXPECT_EQ(core->buffer_size(), size);
    EXPECT_EQ(core->first_buffer(), format::kFirstRootOffset / size + 1);
    EXPECT_EQ(core->buffer_end(), kSmall / size);
    EXPECT_TRUE(core->roots().empty());
  }
}

TEST(Create, AFailingMediumIsAnError) {
  FakeRegion region(kSmall);
  region.failing = true;
  EXPECT_EQ(Core::create(region, {}).error().code(), Code::failed);
}

TEST(Open, TwoPoolsHaveTwoIdentities) {
  EXPECT_NE(must(open_image(made_image()))->uuid(), must(open_image(made_image()))->uuid());
}

TEST(Open, OneDamagedSuperblockIsReportedAndRepaired) {
  const Image good = made_image();
  for (uint32_t copy = 0; copy < 2; ++copy) {
    for (size_t at = 0; at < sizeof(Superblock); at += 13) {
      Image image = good;
      image[format::kSuperblockOffset[copy] + at] ^= std::byte{0x10};
      const auto findings = check(image);
      ASSERT_EQ(findings.size(), 1u) << "copy " << copy << " byte " << at;
      EXPECT_EQ(findings[0].what, copy == 0 ? "superblock copy 0" : "superblock copy 1");
      auto core = must(open_image(image));
      EXPECT_NE(core->find_root("orders"), nullptr);
      const Image repaired(core->region().data(), core->region().data() + kSmall);
      EXPECT_TRUE(check(repaired).empty());
      EXPECT_EQ(repaired, good);
    }
  }
}

TEST(Open, ARepairedSuperblockIsDurable) {
  const Image good = made_image();
  auto region = std::make_unique<FakeRegion>(kSmall);
  std::memcpy(region->data(), good.data(), good.size());
  std::memset(region->data(), 0, 4096);
  region->durable = region->image();
  FakeRegion* fake = region.get();
  auto core = must(open_whole(std::move(region)));
  EXPECT_EQ(fake->durable, good);
}

TEST(Open, BothSuperblocksDamagedIsCorrupt) {
  Image image = made_image();
  superblock(image, 0)->magic = 0;
  superblock(image, 1)->created_ns ^= 1;
  EXPECT_EQ(code_of(open_image(image)), Code::corrupt);
  EXPECT_EQ(check(image).size(), 2u);
  EXPECT_EQ(code_of(open_image(Image(kSmall))), Code::corrupt);
  EXPECT_EQ(code_of(open_image(Image(4096))), Code::corrupt);
}

TEST(Open, TwoDifferentPoolsAreRefused) {
  Image image = made_image();
  const Image other = made_image();
  std::memcpy(superblock(image, 1), &other[format::kSuperblockOffset[1]], sizeof(Superblock));
  EXPECT_EQ(code_of(open_image(image)), Code::corrupt);
}

// Both copies changed by `change`, with checksums that hold.
template <typename Change>
Image forged(Change&& change) {
  Image image = made_image();
  for (uint32_t copy = 0; copy < 2; ++copy) {
    Superblock* super = superblock(image, copy);
    change(*super);
    super->crc = superblock_crc(*super);
  }
  return image;
}

TEST(Open, NewerFormatsAndUnknownFeaturesAreUnsupported) {
  const auto unsupported = [](const Image& image) {
    return code_of(open_image(image)) == Code::unsupported;
  };
  EXPECT_TRUE(unsupported(forged([](Superblock& s) { s.version = 2; })));
  EXPECT_TRUE(unsupported(forged([](Superblock& s) { s.incompatible = 1ull << 63; })));
  EXPECT_EQ(code_of(open_image(forged([](Superblock& s) { s.compatible = ~0ull; }))), Code::exists);
}

TEST(Open, HostileGeometryIsCorrupt) {
  const auto refused = [](auto&& change) {
    return code_of(open_image(forged(change))) == Code::corrupt;
  };
  EXPECT_TRUE(refused([](Superblock& s) { s.buffer_size = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.buffer_size = 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.buffer_size = 4096; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.region_bytes = kSmall + 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.region_bytes = ~0ull; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.region_bytes = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.domain = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.domain = 4; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shard_count = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shard_count = ~0u; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].buffer_count = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { ++s.shards[0].buffer_count; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].buffer_count = ~0u; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].first_buffer = 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].first_buffer = ~0u; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].first_root = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].publish_offset[0] = ~0ull - 7; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.shards[0].publish_bytes = ~0ull; }));
  EXPECT_EQ(code_of(open_image(forged([](Superblock& s) { s.shards[0].buffer_count = 1; }))),
            Code::exists);
}

Image with_list(const std::vector<format::PublishItem>& items, uint64_t ticket = 5) {
  Image image = made_image();
  const uint32_t seed = uuid_state(superblock(image, 0)->uuid);
  std::byte* area = &image[format::kPublishOffset[1]];
  write_list(area, items, ticket, seed);
  *commit_word(area) = ticket ^ format::kCommitMagic;
  return image;
}

TEST(Open, RedoesACommittedListAndRetiresIt) {
  auto core = must(open_image(with_list({{kSmall - 8, 77}, {kSmall - 2048, 78}})));
  EXPECT_EQ(*reinterpret_cast<uint64_t*>(core->region().data() + kSmall - 8), 77u);
  EXPECT_EQ(*commit_word(core->region().data() + format::kPublishOffset[1]), 0u);
  EXPECT_GT(core->filling().value, 5u);
  EXPECT_EQ(code_of(open_image(with_list({{kSmall - 8, 77}}, ~0ull >> 1))), Code::exists);
}

TEST(Open, HostileListsStoreNowhere) {
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{8}, format::kSuperblockOffset[1], format::kPublishOffset[0],
        format::kPublishOffset[1] + 56, format::kFirstRootOffset - 8, format::kFirstRootOffset + 4,
        kSmall, kSmall - 4, ~uint64_t{7}, ~uint64_t{0}, uint64_t{1} << 63}) {
    const Image image = with_list({{offset, 0x4141414141414141}});
    EXPECT_EQ(code_of(open_image(image)), Code::corrupt) << offset;
    EXPECT_EQ(check(image).size(), 1u) << offset;
  }
  EXPECT_EQ(code_of(open_image(with_list({{kSmall - 8, 77}}, 0))), Code::corrupt);
}

TEST(Open, ADamagedCommittedListIsCorrupt) {
  Image image = with_list({{kSmall - 8, 77}});
  image[format::kPublishOffset[1] + 64] ^= std::byte{1};
  EXPECT_EQ(code_of(open_image(image)), Code::corrupt);
  ASSERT_EQ(check(image).size(), 1u);
  EXPECT_EQ(check(image)[0].what, "publish list 1");
}

TEST(Open, ALostPublishAreaIsNotTakenForAnEmptyOne) {
  auto region = std::make_unique<PlainRegion>(made_image());
  region->add_bad(format::kPublishOffset[0] + 8192, 512);
  EXPECT_EQ(code_of(open_whole(std::move(region))), Code::corrupt);
}

TEST(Open, DomainsAreNotDowngraded) {
  using pmem::Domain;
  const Domain all[] = {Domain::process, Domain::page, Domain::memory};
  for (const Domain made_for : all) {
    PlainRegion region(kSmall, made_for);
    must(Core::create(region, {}));
    for (const Domain given : all) {
      const bool survives_less = given == Domain::process && made_for != Domain::process;
      auto opened = open_whole(std::make_unique<PlainRegion>(region.image(), given));
      EXPECT_EQ(code_of(opened), survives_less ? Code::unsupported : Code::exists)
          << to_string(made_for) << " in " << to_string(given);
      if (!survives_less) continue;
      const std::string why = opened.error().message();
      EXPECT_NE(why.find(to_string(made_for)), std::string::npos) << why;
      EXPECT_NE(why.find("process"), std::string::npos) << why;
    }
  }
}

TEST(Open, ClaimRefusesWhatCannotBe) {
  auto core = must(Core::open(std::make_unique<PlainRegion>(made_image())));
  const BufferName first = core->first_buffer();
  for (const BufferName name : {BufferName{0}, first - 1, core->buffer_end(), ~BufferName{0}}) {
    EXPECT_EQ(core->claim(name, Kind::data).error().code(), Code::corrupt);
  }
  must(core->claim(first, Kind::data));
  must(core->claim(first, Kind::data));
  EXPECT_FALSE(core->claim(first, Kind::structure).has_value());
  must(core->claim(first + 1, Kind::structure));
  EXPECT_FALSE(core->claim(first + 1, Kind::structure).has_value());
  EXPECT_FALSE(core->claim(first + 1, Kind::data).has_value());
  EXPECT_EQ(core->holds(first), 2u);
  EXPECT_EQ(core->holds(first + 1), 1u);
  must(core->finish_recovery());
  EXPECT_EQ(core->stats().buffers_data, 1u);
}

TEST(Open, RandomDamageNeverDoesMoreThanSayNo) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const Image good = with_list({{kSmall - 8, 77}});
  const uint64_t places[] = {0, 4096, 65536, 69632, 131072, 131200};
  size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Image image = good;
    for (uint32_t n = 1 + random() % 4; n > 0; --n) {
      const uint64_t at = places[random() % 6] + random() % 160;
      image[at] = static_cast<std::byte>(random() % 3 == 0 ? 0 : random());
    }
    (void)check(image);
    auto opened = open_image(image);
    if (opened) {
      while ((*opened)->take(Purpose::room)) continue;
    } else {
      EXPECT_FALSE(opened.error().message().empty());
      ++refused;
    }
  }
  EXPECT_GT(refused, 100u);
}

TEST(Large, SixtyFourGibibytesHaveNamesAndOffsetsToTheEnd) {
  constexpr uint64_t kBytes = uint64_t{64} << 30;
  auto owned = std::make_unique<PlainRegion>(kBytes);
  PlainRegion* region = owned.get();
  must(Core::create(*region, {.buffer_size = 4096}));
  auto core = must(Core::open(std::move(owned)));
  const BufferName last = core->buffer_end() - 1;
  EXPECT_EQ(last, (uint64_t{1} << 24) - 1);
  EXPECT_EQ(core->buffer(last) - region->data(), static_cast<ptrdiff_t>(kBytes - 4096));
  EXPECT_TRUE(core->valid({last, 4000, 96}));
  EXPECT_FALSE(core->valid({last, 4000, 97}));
  EXPECT_FALSE(core->valid({last + 1, 0, 1}));
  for (BufferName name = core->first_buffer(); name < last; ++name) {
    must(core->claim(name, Kind::data));
  }
  must(core->finish_recovery());
  EXPECT_EQ(must(core->take(Purpose::room)), last);
  auto* word = reinterpret_cast<uint64_t*>(core->buffer(last)) + 511;
  must(core->publish(word, 99));
  must(core->wait_durable(core->filling()));
  EXPECT_EQ(*word, 99u);
  EXPECT_EQ(*reinterpret_cast<uint64_t*>(region->data() + kBytes - 8), 99u);
}

}  // namespace
}  // namespace paste::pool
