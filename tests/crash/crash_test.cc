// Goal: after any crash, every acknowledged write is there, whole; every other is there whole or
// not at all; nothing deleted comes back; no buffer is lost or has two owners.
// Method: random runs on a pool and its logs in shadow memory; at every flush, barrier and reply
// the images that a crash could leave are opened and compared with a model (trial.h has the
// oracles). PASTE_CRASH_IMAGES sets how many images in all, PASTE_CRASH_SEED where the seeds begin.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

#include "tests/crash/trial.h"

namespace paste::crash {
namespace {

using pmem::Domain;

constexpr uint64_t kImages = 8000;  // of all tests here together

void run(const char* what, TrialOptions options, uint32_t share_percent) {
  const uint64_t seed = seed_from_environment(1);
  options.images = std::max<uint64_t>(images_from_environment(kImages) * share_percent / 100, 50);
  const auto start = std::chrono::steady_clock::now();
  Trial trial(options);
  const std::string wrong = trial.run(seed);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const TrialCounts& n = trial.counts();
  std::cout << what << ": SEED=" << seed << " runs " << n.runs << ", moments " << n.moments
            << ", images " << n.images << " (" << n.duplicates << " duplicates), second lives "
            << n.second_lives << ", records " << n.records << ", torn " << n.torn << ", "
            << static_cast<uint64_t>(static_cast<double>(n.images) / took.count()) << " images/s\n";
  EXPECT_EQ(wrong, "") << what;
  EXPECT_GE(n.images, options.images);
  EXPECT_GT(n.records, 0u);
  EXPECT_EQ(n.second_lives > 0, options.second_life_percent > 0);
}

TEST(Crash, MemoryDomainPowerLoss) { run("memory, power", {.domain = Domain::memory}, 25); }

TEST(Crash, MemoryDomainPowerLossWithLargeBuffers) {
  run("memory, power, 4096 B",
      {.domain = Domain::memory, .region_bytes = 768 << 10, .buffer_size = 4096}, 10);
}

TEST(Crash, MemoryDomainProcessCrashThenPowerLoss) {
  run("memory, process then power",
      {.domain = Domain::memory, .crash = CrashOf::process, .second_life_percent = 20}, 20);
}

TEST(Crash, ProcessDomainProcessCrash) {
  run("process, process",
      {.domain = Domain::process, .crash = CrashOf::process, .second_life_percent = 0}, 10);
}

TEST(Crash, PageDomainPowerLoss) { run("page, power", {.domain = Domain::page}, 20); }

TEST(Crash, PageDomainProcessCrashThenPowerLoss) {
  run("page, process then power",
      {.domain = Domain::page, .crash = CrashOf::process, .second_life_percent = 20}, 10);
}

TEST(Crash, PageDomainFailedWrite) {
  run("page, failed write", {.domain = Domain::page, .fail_a_barrier = true}, 5);
}

}  // namespace
}  // namespace paste::crash
