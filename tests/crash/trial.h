// One run under the explorer: every moment, every image, every oracle (docs: HACKING, crash tests).
//
// Oracles on every image
//   1. It opens; no mere crash looks like corruption.
//   2. Content: what was acknowledged is there, whole; the rest whole or not at all (Model).
//   3. Ownership: every buffer has exactly the owners that reach it, none leaks (audit).
// and on a sample of them
//   4. Opening what was opened changes nothing.
//   5. Bytes that nobody uses have no influence on what is recovered.
//   6. New records are kept, and everything is there when the pool is opened again.
//   7. Damage in a record that a seal vouches for is told apart from a torn tail.
//   8. A crash while opening, or in the life that follows, obeys the same rules: to depth two.
#pragma once

#include <bitset>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/explorer.h"
#include "tests/crash/model.h"
#include "tests/crash/workload.h"

namespace paste::crash {

enum class CrashOf : uint8_t { power, process };

struct TrialOptions {
  pmem::Domain domain = pmem::Domain::memory;
  CrashOf crash = CrashOf::power;
  uint64_t images = 1000;  // of the first life; later lives come on top
  uint32_t operations = 64;
  uint64_t region_bytes = 384 << 10;
  uint32_t buffer_size = 2048;
  uint32_t sample_percent = 20;      // images with oracles 4 to 7
  uint32_t second_life_percent = 3;  // images with oracle 8; later lives have less
  bool fail_a_barrier = false;       // page: at some time a write fails
  std::vector<pmem::Site> disabled = {};
  bool disable_in_create = true;
  uint64_t next_life_images = 60;
  uint32_t next_life_per_moment = 6;
  // Instead of a random run, tried with at most so many seeds.
  uint32_t script_runs = 16;
  std::function<bool(Workload&)> script = {};
  std::function<bool(Workload&)> next_script = {};  // of later lives
};

struct TrialCounts {
  uint64_t runs = 0;
  uint64_t first_images = 0;  // of first lives
  uint64_t images = 0;        // of all lives
  uint64_t duplicates = 0;
  uint64_t moments = 0;
  uint64_t second_lives = 0;
  uint64_t records = 0;  // found in the images
  uint64_t torn = 0;     // torn records that were cut off
};

class Trial {
 public:
  explicit Trial(const TrialOptions& options);
  // Runs seeds from `seed` on until the images are used up or something is wrong. The failure, or
  // empty; it names the seed of its run.
  std::string run(uint64_t seed);
  [[nodiscard]] const TrialCounts& counts() const noexcept { return counts_; }

 private:
  struct Life {
    const Model* model = nullptr;
    uint64_t epoch_base = 0;
    uint32_t depth = 0;
    pmem::ShadowRandom random{0};
    const Workload* work = nullptr;  // that died
  };
  // A device does not die with the process: until the pool is opened again it goes on storing
  // where it was told to.
  void device_goes_on(std::span<std::byte> image, Life& life) const;
  std::string run_once(uint64_t seed);
  std::string first_life(uint64_t seed, Explorer& explorer);
  [[nodiscard]] uint32_t next_life_percent(const Life& life) const;
  std::string inspect(std::span<std::byte> image, Life& life);
  std::string inspect_sample(Bytes crashed, std::span<std::byte> recovered, uint64_t content,
                             Life& life);
  std::string inspect_damage(Bytes crashed, Life& life);
  std::string second_life(std::unique_ptr<pmem::ShadowRegion> region, Life& before);
  std::string live_on(Store& store, Life& life, Model& model, uint32_t operations);
  void observe(pmem::ShadowRegion& region, Explorer& explorer, Life& life, CrashOf crash);
  void disable_sites(pmem::ShadowRegion& region) const;
  void add(const Explorer& explorer);

  TrialOptions options_;
  TrialCounts counts_;
  uint32_t moment_percent_ = 100;
  std::vector<std::unique_ptr<ImageBuffer>> spare_;  // copies of images, by depth
};

}  // namespace paste::crash
