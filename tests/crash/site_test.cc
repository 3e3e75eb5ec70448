// Goal: every flush and every barrier is needed and is noticed when it is missing.
// Method: (1) the crash trials are run again with one site doing nothing; some oracle must fail.
// (2) Golden counts: how many lines and barriers an append and a truncation cost.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/crash/trial.h"

namespace paste::crash {
namespace {

using pmem::Domain;
using pmem::Site;

// A stale page: the first life begins one and loses the link to it, the next one begins it anew.
// If the zeroes come late, entries of the first life count again behind those of the next.
TrialOptions stale_page() {
  TrialOptions options{.domain = Domain::memory, .images = 4000, .sample_percent = 0,
                       .second_life_percent = 30};
  options.next_life_images = 200;
  options.script = [](Workload& work) {
    return work.make("orders") && work.fill("orders", 61) && work.finish() &&
           work.fill("orders", 8);
  };
  options.next_script = [](Workload& work) {
    static constexpr const char* kOthers[] = {"a", "b", "c", "d"};
    const uint64_t others = work.random().below(5);
    for (uint64_t i = 0; i < others; ++i) {
      if (!work.make(kOthers[i])) return false;
    }
    return !work.make("orders") || work.fill("orders", 3);
  };
  return options;
}

TrialOptions options_for(uint32_t round) {
  switch (round % 3) {
    case 0: return {.domain = Domain::memory, .images = 3000};
    case 1:
      return {.domain = Domain::memory,
              .crash = CrashOf::process,
              .images = 1000,
              .second_life_percent = 20};
    default: return stale_page();
  }
}

class SiteNeeded : public testing::TestWithParam<size_t> {};

TEST_P(SiteNeeded, IsNoticedWhenMissing) {
  const auto site = static_cast<Site>(GetParam());
  std::string wrong;
  uint64_t images = 0;
  for (uint32_t round = 0; round < 6 && wrong.empty(); ++round) {
    TrialOptions options = options_for(round);
    options.disabled = {site};
    // Some sites are used at creation and later: each use has to be needed by itself.
    options.disable_in_create = site == Site::superblock || site == Site::barrier_create;
    Trial trial(options);
    wrong = trial.run(seed_from_environment(1) + 1000 * round);
    images += trial.counts().images;
  }
  std::cout << pmem::to_string(site) << " missing: " << images << " images, " << wrong << "\n";
  EXPECT_NE(wrong, "") << "nothing notices when " << pmem::to_string(site) << " is missing";
}

INSTANTIATE_TEST_SUITE_P(All, SiteNeeded,
                         testing::Range(size_t{0}, static_cast<size_t>(Site::count_)),
                         [](const auto& each) {
                           return std::string(pmem::to_string(static_cast<Site>(each.param)));
                         });

}  // namespace
}  // namespace paste::crash
