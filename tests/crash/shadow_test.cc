// Goal: the shadow region offers exactly the images that its crash model allows, no more, no less.
// Method: random stores, flushes and barriers on a few words; a naive twin keeps, for every line,
// the set of all contents that the medium may hold; both sets of images are compared at each step.
#include "pmem/shadow.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <iostream>
#include <set>

#include "tests/crash/explorer.h"

namespace paste::crash {
namespace {

using pmem::Domain;
using pmem::ShadowRandom;
using pmem::ShadowRegion;
using pmem::Site;

constexpr uint32_t kLines = 3;  // used ones: two in sector 0, one in sector 1
constexpr uint32_t kPlace[kLines] = {0, 3, 9};
using Content = std::array<uint64_t, 2>;  // of the two words of a line that the test uses
using Image = std::array<Content, kLines>;
using Contents = std::set<Content>;

uint64_t* words_of(std::byte* base, uint32_t line) {
  return reinterpret_cast<uint64_t*>(base + kPlace[line] * ShadowRegion::kLine);
}

// What the medium may hold, the slow way.
struct Twin {
  explicit Twin(bool page_domain) : page(page_domain) { old.fill({Content{}}); }

  void store(uint32_t line, Content next) {
    const Content now = memory[line];
    for (const Content& c : {Content{next[0], now[1]}, Content{now[0], next[1]}, next}) {
      if (!page) old[line].insert(c);
      if (covered[line] || flight) fresh[line].insert(c);
    }
    memory[line] = next;
  }
  void flush(uint32_t line) {
    if (page) {
      dirty = true;
    } else {
      covered[line] = true;
      fresh[line] = {memory[line]};
    }
  }
  void begin() {
    if (!page) {
      for (uint32_t i = 0; i < kLines; ++i) {
        if (covered[i]) old[i] = fresh[i];
        covered[i] = false;
      }
      return;
    }
    flight = true;
    writing = dirty;
    dirty = false;
    for (uint32_t i = 0; i < kLines; ++i) fresh[i] = {memory[i]};
  }
  void complete() {
    if (writing) old = fresh;
    flight = writing = false;
  }
  // Sectors in flight are old or new as a whole.
  [[nodiscard]] std::set<Image> images() const {
    std::set<Image> all;
    for (uint32_t choice = 0; choice < (writing ? 4u : 1u); ++choice) {
      const auto& a = (choice & 1) != 0 ? fresh : old;
      const auto& b = (choice & 2) != 0 ? fresh : old;
      for (const Content& x : a[0]) {
        for (const Content& y : a[1]) {
          for (const Content& z : b[2]) all.insert({x, y, z});
        }
      }
    }
    return all;
  }

  bool page;
  bool dirty = false, flight = false, writing = false;
  std::array<bool, kLines> covered{};
  Image memory{};
  std::array<Contents, kLines> old{}, fresh{};
};

std::set<Image> explored(const ShadowRegion& region) {
  Explorer explorer({.seed = 1, .images = 1u << 20, .exhaustive = 1u << 20, .per_point = 1});
  std::set<Image> images;
  explorer.power(region, 0, [&](std::span<std::byte> bytes) {
    Image image;
    for (uint32_t i = 0; i < kLines; ++i) {
      image[i] = {words_of(bytes.data(), i)[0], words_of(bytes.data(), i)[1]};
    }
    EXPECT_TRUE(images.insert(image).second) << "an image was offered twice";
    return std::string();
  });
  return images;
}

void compare_with_twin(Domain domain, uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ShadowRandom random(seed);
  auto region = ShadowRegion::create(domain, 4096);
  region->set_barrier_polls(2);
  Twin twin(domain == Domain::page);
  for (uint32_t step = 0; step < 14; ++step) {
    const auto line = static_cast<uint32_t>(random.below(kLines));
    switch (random.below(4)) {
      case 0:
      case 1: {
        const Content next{random.below(3), random.below(3)};
        words_of(region->data(), line)[0] = next[0];
        words_of(region->data(), line)[1] = next[1];
        twin.store(line, next);
        region->mark();
        break;
      }
      case 2:
        region->flush(words_of(region->data(), line), 16, Site::log_data);
        twin.flush(line);
        break;
      default:
        if (region->barrier_in_flight()) {
          if (region->poll_barrier().value()) twin.complete();
        } else {
          ASSERT_TRUE(region->begin_barrier(Site::barrier_ticket));
          twin.begin();
        }
    }
    ASSERT_EQ(explored(*region), twin.images()) << "after step " << step;
  }
}

TEST(Shadow, MemoryDomainOffersExactlyWhatTheModelAllows) {
  const uint64_t seed = seed_from_environment(1);
  std::cout << "SEED=" << seed << "\n";
  for (uint64_t i = 0; i < 300; ++i) compare_with_twin(Domain::memory, seed + i);
}

TEST(Shadow, PageDomainOffersExactlyWhatTheModelAllows) {
  const uint64_t seed = seed_from_environment(1);
  std::cout << "SEED=" << seed << "\n";
  for (uint64_t i = 0; i < 300; ++i) compare_with_twin(Domain::page, seed + i);
}

TEST(Shadow, SecondLifeMayLoseWhatTheFirstOnlyStored) {
  auto first = ShadowRegion::create(Domain::memory, 4096);
  words_of(first->data(), 0)[0] = 1;
  first->flush(first->data(), 8, Site::log_data);
  ASSERT_TRUE(first->begin_barrier(Site::barrier_ticket));
  words_of(first->data(), 0)[0] = 2;
  first->flush(first->data(), 8, Site::log_data);  // no barrier
  auto second = first->after_process_crash(first->visible());
  EXPECT_EQ(words_of(second->data(), 0)[0], 2u);
  EXPECT_EQ(explored(*second).size(), 2u);
  // A barrier alone guarantees nothing: the write-back was begun by a process that is gone.
  ASSERT_TRUE(second->begin_barrier(Site::barrier_recover));
  EXPECT_EQ(explored(*second).size(), 2u);
  second->flush(second->data(), 8, Site::recover_accepted);
  ASSERT_TRUE(second->begin_barrier(Site::barrier_recover));
  EXPECT_EQ(explored(*second), (std::set<Image>{{Content{2, 0}, Content{}, Content{}}}));
}

TEST(Shadow, DisabledSitesDoNothing) {
  for (const Site site : {Site::log_data, Site::barrier_ticket}) {
    auto region = ShadowRegion::create(Domain::memory, 4096);
    region->disable(site);
    words_of(region->data(), 0)[0] = 1;
    region->flush(region->data(), 8, Site::log_data);
    ASSERT_TRUE(region->begin_barrier(Site::barrier_ticket));
    EXPECT_EQ(explored(*region).size(), 2u) << pmem::to_string(site);
  }
}

TEST(Shadow, CountsLinesAndWaste) {
  auto region = ShadowRegion::create(Domain::memory, 4096);
  region->data()[70] = std::byte{1};
  region->flush(region->data() + 60, 20, Site::log_entry);  // lines 0 (clean) and 1
  region->flush(region->data() + 64, 1, Site::log_entry);   // covered already
  EXPECT_EQ(region->count(Site::log_entry).calls, 2u);
  EXPECT_EQ(region->count(Site::log_entry).lines, 3u);
  EXPECT_EQ(region->count(Site::log_entry).wasted, 2u);
}

TEST(Shadow, BarriersInFlightSignalAndFail) {
  auto region = ShadowRegion::create(Domain::page, 8192);
  region->set_barrier_polls(2);
  region->fail_barrier(2);
  words_of(region->data(), 0)[0] = 1;
  region->flush(region->data(), 8, Site::log_data);
  ASSERT_TRUE(region->begin_barrier(Site::barrier_ticket));
  EXPECT_TRUE(region->barrier_in_flight());
  pollfd ready{region->event_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 1);
  EXPECT_FALSE(region->poll_barrier().value());
  EXPECT_TRUE(region->poll_barrier().value());
  EXPECT_FALSE(region->barrier_in_flight());
  EXPECT_EQ(::poll(&ready, 1, 0), 0);

  words_of(region->data(), 0)[0] = 2;
  region->flush(region->data(), 8, Site::log_data);
  ASSERT_TRUE(region->begin_barrier(Site::barrier_ticket));
  EXPECT_EQ(region->wait_barrier().error().code(), Code::failed);
  EXPECT_EQ(explored(*region).size(), 2u) << "a failed write may have happened or not";
  EXPECT_EQ(region->begin_barrier(Site::barrier_ticket).error().code(), Code::failed);
  EXPECT_EQ(region->poll_barrier().error().code(), Code::failed);
}

}  // namespace
}  // namespace paste::crash
