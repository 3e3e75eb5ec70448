// Goal: every flush and every barrier is needed and is noticed when it is missing.
// Method: (1) the crash trials are run again with one site doing nothing; some oracle must fail.
// (2) Golden counts: how many lines and barriers an append and a truncation cost.
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>

#include "tests/crash/trial.h"

namespace paste::crash {
namespace {

using pmem::Domain;
using pmem::ShadowRegion;
using pmem::Site;

// Stale entries: the first life loses the line that leads to its last entries, not those entries.
// If zeroes came late, these would count again behind what the next life appends. What is wrong, or
// empty. `kept`: records that the first life made durable; 61 fill a page, then it is the link that
// is lost, else the next entries. `others`: how many pages the next life uses up before.
std::string stale_entries(Site missing, uint32_t kept, uint32_t others) {
  auto region = ShadowRegion::create(Domain::memory, 384 << 10);
  ShadowRegion* shadow = region.get();
  ImageBuffer image(region->size());
  must(pool::Core::create(*region, {}));
  Model model;
  {
    Store store = must(Store::open(std::move(region)));
    Workload work(store, model, 1);
    EXPECT_TRUE(work.make("orders") && work.fill("orders", kept) && work.finish() &&
                work.fill("orders", 6));
    image.assign(shadow->visible());
    const auto page = static_cast<BufferName>(store.core->find_root("orders")->words[0]);
    const uint64_t entry = uint64_t{page} * store.core->buffer_size() + 64 + kept * 32;
    const uint64_t line = entry / ShadowRegion::kLine * ShadowRegion::kLine;
    std::memcpy(&image.span()[line], &shadow->oldest()[line], ShadowRegion::kLine);
  }
  region = ShadowRegion::from_image(Domain::memory, image.span());
  shadow = region.get();
  shadow->disable(missing);
  Explorer explorer({.seed = 1, .images = 5000, .exhaustive = 64, .per_point = 200});
  Store store = must(Store::open(std::move(region)));
  EXPECT_EQ(model.check(store), "");
  Model next = model.accept(store);
  EXPECT_EQ(store.logs->find("orders")->next(), kept + 1);
  shadow->set_observer([&](const ShadowRegion& now, ShadowRegion::Event, Site) {
    explorer.power(now, next.epoch(), [&](std::span<std::byte> bytes) -> std::string {
      auto found = Store::open(std::make_unique<ImageRegion>(bytes, Domain::memory));
      return found ? next.check(*found) : found.error().message();
    });
  });
  Workload work(store, next, 2);
  for (uint32_t i = 0; i < others; ++i) EXPECT_TRUE(work.make("other" + std::to_string(i)));
  EXPECT_TRUE(work.fill("orders", 2) && work.finish());
  shadow->set_observer({});
  return explorer.failure();
}

std::string stale_entries(Site missing) {
  std::string wrong = stale_entries(missing, 10, 0);
  for (uint32_t others = 0; others < 4 && wrong.empty(); ++others) {
    wrong = stale_entries(missing, 61, others);
  }
  return wrong;
}

TEST(StaleEntries, NeverCountAgain) { EXPECT_EQ(stale_entries(Site::count_), ""); }

TrialOptions options_for(uint32_t round) {
  switch (round % 2) {
    case 0:
      return {.domain = Domain::memory, .images = 3000};
    default:
      return {.domain = Domain::memory,
              .crash = CrashOf::process,
              .images = 1000,
              .second_life_percent = 20};
  }
}

class SiteNeeded : public testing::TestWithParam<size_t> {};

// Only a seal tells damage in the last record from a torn tail.
TrialOptions sealed_log() {
  TrialOptions options{.domain = Domain::memory,
                       .images = 300,
                       .sample_percent = 100,
                       .second_life_percent = 0,
                       .script_runs = 3};
  options.script = [](Workload& work) {
    return work.make("orders") && work.fill("orders", 3) && work.finish() &&
           work.step(Workload::kSeal) && work.finish();
  };
  return options;
}

// Short runs made for one site first, then the random ones.
std::string find_missing(Site site, uint64_t& images) {
  std::string wrong = stale_entries(site);
  for (uint32_t round = 0; round < 5 && wrong.empty(); ++round) {
    TrialOptions options = round == 0 ? sealed_log() : options_for(round);
    options.disabled = {site};
    // Some sites are used at creation and later: each use has to be needed by itself.
    options.disable_in_create = site == Site::superblock || site == Site::barrier_create;
    Trial trial(options);
    wrong = trial.run(seed_from_environment(1) + 1000 * round);
    images += trial.counts().images;
  }
  return wrong;
}

TEST_P(SiteNeeded, IsNoticedWhenMissing) {
  const auto site = static_cast<Site>(GetParam());
  uint64_t images = 0;
  const std::string wrong = find_missing(site, images);
  std::cout << pmem::to_string(site) << " missing: " << images << " images, " << wrong << "\n";
  EXPECT_NE(wrong, "") << "nothing notices when " << pmem::to_string(site) << " is missing";
}

TEST(SiteNeeded, NothingIsNoticedWhenNoneIsMissing) {
  uint64_t images = 0;
  EXPECT_EQ(find_missing(Site::count_, images), "");
}

INSTANTIATE_TEST_SUITE_P(All, SiteNeeded,
                         testing::Range(size_t{0}, static_cast<size_t>(Site::count_)),
                         [](const auto& each) {
                           return std::string(pmem::to_string(static_cast<Site>(each.param)));
                         });

// --- Golden counts -------------------------------------------------------------------------------

struct Counts {
  uint64_t lines = 0;
  uint64_t barriers = 0;
  uint64_t wasted = 0;
};

Counts counts_of(const ShadowRegion& region) {
  Counts all;
  for (size_t i = 0; i < static_cast<size_t>(Site::count_); ++i) {
    const ShadowRegion::SiteCount& count = region.count(static_cast<Site>(i));
    all.lines += count.lines;
    all.wasted += count.wasted;
    if (i >= static_cast<size_t>(Site::barrier_create)) all.barriers += count.calls;
    if (count.calls != 0) {
      std::cout << "  " << pmem::to_string(static_cast<Site>(i)) << ": " << count.calls
                << " calls, " << count.lines << " lines, " << count.wasted << " wasted\n";
    }
  }
  return all;
}

class Golden : public testing::Test {
 protected:
  void SetUp() override {
    auto region = ShadowRegion::create(Domain::memory, 1 << 20);
    must(pool::Core::create(*region, {}));
    shadow_ = region.get();
    store_ = must(Store::open(std::move(region)));
    log_ = must(store_.logs->create("orders"));
    for (uint32_t i = 0; i < 8; ++i) append_and_commit();  // stocks are filled
    shadow_->clear_counts();
  }
  void append_and_commit() {
    const BufferName name = must(store_.core->take(pool::Purpose::receive));
    std::memset(store_.core->buffer(name), static_cast<int>(++fill_), 1024);
    const Slice slice{name, 0, 1024};
    must(log_->append({&slice, 1}, {}));
    commit();
  }
  void commit() { must(store_.core->wait_durable(store_.core->filling())); }

  ShadowRegion* shadow_ = nullptr;
  Store store_;
  log::Log* log_ = nullptr;
  uint32_t fill_ = 0;
};

TEST_F(Golden, AppendOf1KiB) {
  append_and_commit();
  const Counts counts = counts_of(*shadow_);
  EXPECT_EQ(counts.lines, 17u) << "16 of data, 1 of its entry";
  EXPECT_EQ(counts.barriers, 1u);
  EXPECT_EQ(counts.wasted, 0u);
}

TEST_F(Golden, Truncation) {
  must(log_->truncate(4));
  commit();
  const Counts counts = counts_of(*shadow_);
  EXPECT_EQ(counts.lines, 9u) << "3 of the list, 1 of its commit word, 5 words one by one";
  EXPECT_EQ(counts.barriers, 2u);
}

// What opening writes back although it was durable: bounded by what it cannot know.
TEST_F(Golden, OpenAfterACleanEnd) {
  must(log_->seal());
  commit();
  auto again = ShadowRegion::from_image(Domain::memory, shadow_->oldest());
  ShadowRegion* region = again.get();
  Store store = must(Store::open(std::move(again)));
  const Counts counts = counts_of(*region);
  EXPECT_LE(counts.lines, 100u);
  EXPECT_LE(counts.barriers, 1u);
}

}  // namespace
}  // namespace paste::crash
