// Goal: creating and opening are as crash-proof as running. Method: short runs whose every moment
// is explored, and from every moment the next life, which opens the pool and publishes again.
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>

#include "tests/crash/audit.h"
#include "tests/crash/trial.h"

namespace paste::crash {
namespace {

using pmem::Domain;
using pmem::ShadowRegion;
using pmem::Site;

constexpr uint64_t kBytes = 384 << 10;

// Publications in a row: both areas are in use, and change hands. A list must be durable before it
// is redone; of two lists the older is retired first; a commit word that reads as cleared must be
// so on the medium before its area is written again.
TrialOptions publications(Domain domain, CrashOf crash) {
  TrialOptions options{.domain = domain,
                       .crash = crash,
                       .images = 300,
                       .sample_percent = 5,
                       .second_life_percent = 100};
  options.next_life_images = 120;
  options.next_life_per_moment = 12;
  options.script_runs = 2;
  options.script = [](Workload& work) {
    return work.make("a") && work.fill("a", 3) && work.step(Workload::kCommitWait) &&
           work.step(Workload::kTruncateLsn) && work.step(Workload::kErase) &&
           work.step(Workload::kCommitWait) && work.make("b") && work.step(Workload::kCommitWait) &&
           work.step(Workload::kReply);
  };
  options.next_script = [](Workload& work) {
    return work.make("c") && work.step(Workload::kCommitWait) && work.make("d") && work.finish();
  };
  return options;
}

TEST(Open, AfterAnyMomentOfPublications) {
  for (const Domain domain : {Domain::memory, Domain::page}) {
    for (const CrashOf crash : {CrashOf::power, CrashOf::process}) {
      Trial trial(publications(domain, crash));
      const uint64_t seed = seed_from_environment(1);
      EXPECT_EQ(trial.run(seed), "") << pmem::to_string(domain);
      std::cout << pmem::to_string(domain) << ": SEED=" << seed << " images "
                << trial.counts().images << ", next lives " << trial.counts().second_lives << "\n";
      EXPECT_GT(trial.counts().second_lives, 50u);
    }
  }
}

// A device may hold an older pool when a new one is created on it. A crash in between leaves the
// old one as it was, or the new one, or nothing that opens: never a mixture.
TEST(Create, OverAnOlderPoolLeavesNoMixture) {
  for (const Domain domain : {Domain::memory, Domain::page}) {
    SCOPED_TRACE(pmem::to_string(domain));
    ImageBuffer older(kBytes);
    uint64_t old_content = 0;
    {
      auto region = ShadowRegion::create(domain, kBytes);
      ShadowRegion* shadow = region.get();
      must(pool::Core::create(*region, {}));
      Store store = must(Store::open(std::move(region)));
      Model model;
      Workload work(store, model, 5);
      ASSERT_TRUE(work.make("old") && work.fill("old", 5) && work.finish());
      old_content = content_hash(store);
      older.assign(shadow->oldest());
    }
    auto region = ShadowRegion::from_image(domain, older.span());
    uint32_t old_ones = 0, new_ones = 0, none = 0;
    Explorer explorer({.seed = 1, .images = 3000, .per_point = 500});
    const auto check = [&](std::span<std::byte> image) -> std::string {
      auto store = Store::open(std::make_unique<ImageRegion>(image, domain));
      if (!store) {
        ++none;
        return store.error().code() == Code::corrupt ? "" : store.error().message();
      }
      if (store->logs->list().empty()) {
        ++new_ones;
        return audit(*store);
      }
      ++old_ones;
      return content_hash(*store) == old_content ? "" : "a mixture of two pools";
    };
    region->set_observer(
        [&](const ShadowRegion& now, ShadowRegion::Event, Site) { explorer.power(now, 0, check); });
    must(pool::Core::create(*region, {}));
    region->mark();
    EXPECT_EQ(explorer.failure(), "");
    EXPECT_GT(old_ones, 0u);
    EXPECT_GT(new_ones, 0u);
    EXPECT_GT(none, 0u);
  }
}

// On a fresh device there is a whole pool or none, never one that looks damaged.
TEST(Create, OnAFreshDeviceLeavesAPoolOrNone) {
  for (const Domain domain : {Domain::memory, Domain::page}) {
    SCOPED_TRACE(pmem::to_string(domain));
    auto region = ShadowRegion::create(domain, kBytes);
    Explorer explorer({.seed = 1, .images = 3000, .per_point = 500});
    region->set_observer([&](const ShadowRegion& now, ShadowRegion::Event, Site) {
      explorer.power(now, 0, [&](std::span<std::byte> image) -> std::string {
        auto store = Store::open(std::make_unique<ImageRegion>(image, domain));
        if (store) return audit(*store);
        const std::string why = store.error().message();
        return why.find("superblock") != std::string::npos ? "" : why;
      });
    });
    must(pool::Core::create(*region, {}));
    EXPECT_EQ(explorer.failure(), "");
    // In the page domain few points exist: blocks are written whole, and only by the barriers.
    EXPECT_GE(explorer.images(), domain == Domain::memory ? 100u : 4u);
  }
}

// The program dies while it creates a pool; what it left is in caches only, but opens. What the
// next life is told to keep must not depend on those caches.
TEST(Create, CutShortByAProcessCrashIsMadeDurableByOpen) {
  auto region = ShadowRegion::create(Domain::memory, kBytes);
  std::vector<std::unique_ptr<ShadowRegion>> lives;
  region->set_observer([&](const ShadowRegion& now, ShadowRegion::Event, Site) {
    lives.push_back(now.after_process_crash(now.visible()));
  });
  must(pool::Core::create(*region, {}));
  uint32_t opened = 0;
  for (auto& life : lives) {
    ShadowRegion* shadow = life.get();
    auto store = Store::open(std::move(life));
    if (!store) continue;
    ++opened;
    Explorer explorer({.seed = opened, .images = 2000, .per_point = 60});
    Model model;
    shadow->set_observer([&](const ShadowRegion& now, ShadowRegion::Event, Site) {
      explorer.power(now, model.epoch(), [&](std::span<std::byte> image) -> std::string {
        auto found = Store::open(std::make_unique<ImageRegion>(image, Domain::memory));
        return found ? model.check(*found) : found.error().message();
      });
    });
    Workload work(*store, model, opened);
    EXPECT_TRUE(work.fill_new("orders", 3) && work.finish()) << work.problem();
    EXPECT_EQ(explorer.failure(), "");
    shadow->set_observer({});
  }
  EXPECT_GE(opened, 2u);
}

// More logs than a root page has places.
TEST(Create, ManyLogs) {
  TrialOptions options{.domain = Domain::memory, .images = 3000, .second_life_percent = 2,
                       .script_runs = 3};
  options.script = [](Workload& work) {
    for (uint32_t i = 0; i < 34; ++i) {
      if (!work.fill_new("log" + std::to_string(i), 1)) return false;
      if (i % 3 == 2 && !work.finish()) return false;
    }
    return true;
  };
  Trial trial(options);
  EXPECT_EQ(trial.run(seed_from_environment(1)), "");
  EXPECT_GT(trial.counts().images, 100u);
}

// Damage of the medium, one bit at a time, in anything that a later record or a seal vouches for.
TEST(Damage, IsNeverTakenForTheEnd) {
  const uint64_t seed = seed_from_environment(1);
  std::cout << "SEED=" << seed << "\n";
  pmem::ShadowRandom random(seed);
  auto region = ShadowRegion::create(Domain::memory, kBytes);
  ShadowRegion* shadow = region.get();
  must(pool::Core::create(*region, {}));
  Store store = must(Store::open(std::move(region)));
  Model model;
  Workload work(store, model, seed);
  ASSERT_TRUE(work.make("orders"));
  for (uint32_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(work.fill("orders", 10) && work.step(Workload::kPieces) && work.finish());
  }
  const Usage usage = walk(store);
  const Lsn next = store.logs->find("orders")->next();
  ImageBuffer image(kBytes);
  uint32_t refused = 0, found = 0, unnoticed = 0;
  for (uint32_t i = 0; i < 3000; ++i) {
    image.assign(shadow->oldest());
    // A used byte: of a record or a piece list, or anywhere in a log page.
    uint64_t at = 0;
    if (random.chance(50)) {
      const auto& range = usage.used[random.below(usage.used.size())];
      at = range.first + random.below(range.second - range.first);
    } else {
      do {
        at = random.below(kBytes);
      } while (at / 2048 < store.core->first_buffer() || !usage.structure[at / 2048]);
    }
    image.span()[at] ^= static_cast<std::byte>(1u << random.below(8));
    auto damaged = Store::open(std::make_unique<ImageRegion>(image.span(), Domain::memory));
    if (!damaged) {
      ++refused;
      EXPECT_EQ(damaged.error().code(), Code::corrupt);
      continue;
    }
    log::Log* log = damaged->logs->find("orders");
    ASSERT_NE(log, nullptr);
    // The last batch is vouched for by nothing yet: a torn tail may begin there, not before.
    EXPECT_GE(log->next() + 11, next) << "damage at byte " << at;
    for (Lsn lsn = log->first(); lsn < log->next(); ++lsn) {
      const auto record = log->read(lsn);
      if (!record) {
        EXPECT_EQ(record.error().code(), Code::corrupt);
        ++found;
      } else {
        ASSERT_EQ(text_of(*damaged->core, *record), model.record(log->id(), lsn).bytes)
            << "damage at byte " << at << " changed record " << lsn;
      }
    }
    unnoticed += log->next() == next ? 1 : 0;
  }
  std::cout << refused << " pools refused, " << found << " damaged records found\n";
  EXPECT_GT(found, 100u);
  EXPECT_GT(unnoticed, 0u);
}

}  // namespace
}  // namespace paste::crash
