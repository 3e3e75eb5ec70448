// Enumerates what a crash at one moment of a run could leave, and hands each image to a check.
//
// A run executes on a ShadowRegion; its observer calls power() or process() at every event, while
// the run stands still. Equal images are checked once per epoch (an epoch ends when something new
// is promised, so an older image may then be wrong).
//
// Enumeration per moment: every combination if that is at most `exhaustive`; otherwise all oldest,
// all newest, each touched unit alone at either extreme, and random ones up to `per_point`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "pmem/shadow.h"

namespace paste::crash {

// A plain region over bytes that somebody else owns: nothing needs flushing, barriers are free.
class ImageRegion final : public pmem::Region {
 public:
  // REQUIRES: image is aligned to 4096 and outlives the region.
  ImageRegion(std::span<std::byte> image, pmem::Domain domain);
  void flush(const void* p, size_t n, pmem::Site site) noexcept override;
  Result<void> begin_barrier(pmem::Site) override { return {}; }
  Result<bool> poll_barrier() override { return true; }
  Result<void> wait_barrier() override { return {}; }
};

// Bytes aligned to 4096.
class ImageBuffer {
 public:
  explicit ImageBuffer(size_t size);
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_.get(), size_}; }
  // Makes the buffer equal to `image`, copying only the pages that differ.
  void assign(Bytes image) noexcept;

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_;
};

struct ExplorerOptions {
  uint64_t seed = 1;
  uint64_t images = 1000;      // stop after so many checked images
  uint32_t exhaustive = 4096;  // enumerate everything up to so many combinations
  uint32_t per_point = 24;     // otherwise so many images at one moment
};

class Explorer {
 public:
  // Says what is wrong with the image; empty if nothing. May change the bytes.
  using Check = std::function<std::string(std::span<std::byte> image)>;

  explicit Explorer(const ExplorerOptions& options);

  // What a power loss at this moment leaves. `epoch`: see above. False once done().
  bool power(const pmem::ShadowRegion& region, uint64_t epoch, const Check& check);
  // What a crash of the process leaves to be seen: in the memory and process domains all stores up
  // to now or, between the last event and now, any of them; in the page domain what power() gives.
  bool process(const pmem::ShadowRegion& region, uint64_t epoch, const Check& check);

  // A failure was found, or all images are used up.
  [[nodiscard]] bool done() const noexcept {
    return !failure_.empty() || images_ >= options_.images;
  }
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  [[nodiscard]] uint64_t images() const noexcept { return images_; }
  [[nodiscard]] uint64_t duplicates() const noexcept { return duplicates_; }
  [[nodiscard]] uint64_t moments() const noexcept { return moments_; }

 private:
  // The content of every unit, one after another.
  using Contents = std::vector<std::byte>;
  bool prepare(const pmem::ShadowRegion& region, uint64_t epoch, const Check& check);
  void explore_all(uint64_t combinations);
  void explore_some();
  void explore_random();
  void set_all(bool newest);
  void put(size_t unit, uint64_t alternative);
  bool try_image(const char* how);
  bool check_image(const char* how, uint64_t hash);

  ExplorerOptions options_;
  pmem::ShadowRandom random_;
  std::string failure_;
  uint64_t images_ = 0;
  uint64_t duplicates_ = 0;
  uint64_t moments_ = 0;
  std::unordered_set<uint64_t> seen_;
  std::unique_ptr<ImageBuffer> work_;
  // The moment at hand.
  const pmem::ShadowRegion* region_ = nullptr;
  const Check* check_ = nullptr;
  uint64_t epoch_ = 0;
  std::vector<pmem::ShadowRegion::Unit> units_;
  std::vector<size_t> place_;  // of each unit in contents_
  uint64_t units_hash_ = 0;    // of the oldest content of the units
  Contents contents_;
};

// PASTE_CRASH_IMAGES, or `otherwise`: how many images all crash tests of a program share.
uint64_t images_from_environment(uint64_t otherwise);
// PASTE_CRASH_SEED, or `otherwise`. Every test prints the seed that it uses.
uint64_t seed_from_environment(uint64_t otherwise);

}  // namespace paste::crash
