#include "tests/crash/trial.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>

#include "tests/crash/audit.h"

namespace paste::crash {

using pmem::ShadowRegion;
using pmem::Site;

namespace {

constexpr uint32_t kDepthMax = 2;

std::string with(const char* what, const std::string& wrong) {
  return wrong.empty() ? wrong : fmt::format("{}: {}", what, wrong);
}

}  // namespace

Trial::Trial(const TrialOptions& options) : options_(options) {
#if defined(__GLIBC__)
  // Every image opens a pool: what that allocates should not go back to the system each time.
  ::mallopt(M_MMAP_THRESHOLD, 16 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
  for (uint32_t depth = 0; depth <= 2 * kDepthMax + 2; ++depth) {
    spare_.push_back(std::make_unique<ImageBuffer>(options.region_bytes));
  }
}

std::string Trial::run(uint64_t seed) {
  while (counts_.first_images < options_.images) {
    std::string wrong = run_once(seed);
    if (!wrong.empty()) return fmt::format("SEED={}: {}", seed, wrong);
    ++seed;
    if (options_.script && counts_.runs >= options_.script_runs) break;
  }
  return {};
}

// Runs share the images, so that many different ones are seen, each in many of its moments; some
// look at few moments, but closely.
std::string Trial::run_once(uint64_t seed) {
  ++counts_.runs;
  pmem::ShadowRandom random(seed);
  const uint64_t share = std::max<uint64_t>(options_.images / 20, 200);
  ExplorerOptions explore{.seed = seed,
                          .images = std::min(share, options_.images - counts_.first_images)};
  const bool closely = random.chance(10);
  explore.exhaustive = closely ? 4096 : 24;
  explore.per_point = closely ? 200 : 3 + static_cast<uint32_t>(random.below(20));
  moment_percent_ = 100;
  if (options_.script) {
    explore.per_point = 24;
  } else {
    constexpr uint64_t kMoments = 500;  // about what a run has
    moment_percent_ = static_cast<uint32_t>(
        std::clamp<uint64_t>(100 * share / (kMoments * explore.per_point), 1, 100));
  }
  Explorer explorer(explore);
  std::string wrong = first_life(seed, explorer);
  counts_.first_images += explorer.images();
  add(explorer);
  return explorer.failure().empty() ? wrong : explorer.failure();
}

void Trial::add(const Explorer& explorer) {
  counts_.images += explorer.images();
  counts_.duplicates += explorer.duplicates();
  counts_.moments += explorer.moments();
}

void Trial::observe(ShadowRegion& region, Explorer& explorer, Life& life, CrashOf crash) {
  region.set_observer(
      [this, &explorer, &life, crash](const ShadowRegion& now, ShadowRegion::Event, Site) {
        if (life.depth == 0 && !life.random.chance(moment_percent_)) return;
        const uint64_t epoch = life.epoch_base + life.model->epoch();
        if (crash == CrashOf::power) {
          explorer.power(now, epoch, [&](std::span<std::byte> image) {
            device_goes_on(image, life);
            return inspect(image, life);
          });
          return;
        }
        explorer.process(now, epoch, [&](std::span<std::byte> image) {
          device_goes_on(image, life);
          std::unique_ptr<ShadowRegion> next;
          if (life.random.chance(next_life_percent(life))) next = now.after_process_crash(image);
          std::string wrong = inspect(image, life);
          if (wrong.empty() && next) wrong = second_life(std::move(next), life);
          return wrong;
        });
      });
}

void Trial::device_goes_on(std::span<std::byte> image, Life& life) const {
  if (life.work == nullptr || !life.random.chance(50)) return;
  for (const BufferName name : life.work->posted()) {
    const auto buffer = image.subspan(uint64_t{name} * options_.buffer_size, options_.buffer_size);
    // A whole frame, or the beginning of one.
    const size_t n = life.random.below(buffer.size() + 1);
    for (size_t i = 0; i < n; ++i) buffer[i] = static_cast<std::byte>(life.random.next());
  }
}

void Trial::disable_sites(ShadowRegion& region) const {
  for (const Site site : options_.disabled) region.disable(site);
}

std::string Trial::first_life(uint64_t seed, Explorer& explorer) {
  auto region = ShadowRegion::create(options_.domain, options_.region_bytes);
  ShadowRegion* shadow = region.get();
  Model model;
  Life life{&model, 0, 0, pmem::ShadowRandom(seed ^ 0x11FE)};
  if (options_.disable_in_create) disable_sites(*shadow);
  shadow->set_barrier_polls(static_cast<uint32_t>(life.random.below(4)));
  auto created = pool::Core::create(*shadow, {.buffer_size = options_.buffer_size});
  if (!created) return "create: " + created.error().message();
  disable_sites(*shadow);
  // A pool is given its name, and so can be opened, only when it was created.
  observe(*shadow, explorer, life, options_.crash);
  shadow->mark();
  if (explorer.done()) return {};
  auto store = Store::open(std::move(region));
  if (!store) return "open after create: " + store.error().message();
  if (options_.fail_a_barrier) {
    shadow->fail_barrier(1 + static_cast<uint32_t>(life.random.below(12)));
  }
  Workload work(*store, model, seed);
  life.work = &work;
  bool going = true;
  if (options_.script) {
    going = options_.script(work);
  } else {
    for (uint32_t i = 0; going && i < options_.operations && !explorer.done(); ++i) {
      going = work.run(1);
    }
  }
  if (going) work.finish();
  if (shadow->failed()) {
    // Nothing that failed may be acknowledged, however often one asks.
    (void)store->core->poll_sync();
    model.acknowledged(store->core->durable());
    shadow->mark();
  }
  shadow->set_observer({});
  life.work = nullptr;
  return work.problem();
}

uint32_t Trial::next_life_percent(const Life& life) const {
  return life.depth == 0 ? options_.second_life_percent
                         : std::min(options_.second_life_percent, 3u);
}

std::string Trial::inspect(std::span<std::byte> image, Life& life) {
  const bool sample = life.random.chance(options_.sample_percent);
  const bool nested = (options_.crash == CrashOf::power || life.depth > 0) &&
                      life.depth < kDepthMax && life.random.chance(next_life_percent(life));
  ImageBuffer& copy = *spare_[life.depth * 2];
  if (sample || nested) copy.assign(image);
  uint64_t content = 0;
  {
    auto store = Store::open(std::make_unique<ImageRegion>(image, options_.domain));
    if (!store) return "it does not open: " + store.error().message();
    if (std::string wrong = life.model->check(*store); !wrong.empty()) return wrong;
    if (std::string wrong = audit(*store); !wrong.empty()) return wrong;
    const log::RecoveryStats& stats = store->logs->recovery();
    if (stats.corrupt != 0) return fmt::format("{} records seem corrupt", stats.corrupt);
    counts_.records += stats.records;
    counts_.torn += stats.torn;
    if (sample) content = content_hash(*store);
  }
  if (sample) {
    std::string wrong = inspect_sample(copy.span(), image, content, life);
    if (!wrong.empty()) return wrong;
  }
  if (!nested) return {};
  return second_life(ShadowRegion::from_image(options_.domain, copy.span()), life);
}

std::string Trial::inspect_sample(Bytes crashed, std::span<std::byte> recovered, uint64_t content,
                                  Life& life) {
  Usage usage;
  uint32_t first_buffer = 0;
  {
    auto store = Store::open(std::make_unique<ImageRegion>(recovered, options_.domain));
    if (!store) return "what was opened does not open again: " + store.error().message();
    if (content_hash(*store) != content) return "opening again changed the content";
    if (store->logs->recovery().torn != 0) return "opening again found something torn";
    if (std::string wrong = audit(*store); !wrong.empty()) return with("opened again", wrong);
    usage = walk(*store);
    first_buffer = store->core->first_buffer();
  }
  ImageBuffer& scrambled = *spare_[life.depth * 2 + 1];
  scrambled.assign(crashed);
  randomise_unused(usage, scrambled.span(), options_.buffer_size, first_buffer, life.random);
  {
    auto store = Store::open(std::make_unique<ImageRegion>(scrambled.span(), options_.domain));
    if (!store) return "with unused bytes changed it does not open: " + store.error().message();
    if (content_hash(*store) != content) return "unused bytes changed the content";
  }
  if (std::string wrong = inspect_damage(crashed, life); !wrong.empty()) return wrong;
  auto again = ShadowRegion::from_image(options_.domain, recovered);
  auto store = Store::open(std::move(again));
  if (!store) return "what was opened does not open again: " + store.error().message();
  Model model = life.model->accept(*store);
  return live_on(*store, life, model, 6);
}

std::string Trial::inspect_damage(Bytes crashed, Life& life) {
  for (const uint64_t id : life.model->sealed_logs()) {
    ImageBuffer& damaged = *spare_[life.depth * 2 + 1];
    damaged.assign(crashed);
    const std::string name = life.model->name(id);
    Lsn lsn = 0;
    {
      auto store = Store::open(std::make_unique<ImageRegion>(damaged.span(), options_.domain));
      log::Log* log = store ? store->logs->find(name) : nullptr;
      if (log == nullptr || log->id() != id) continue;  // removed by what was not acknowledged
      lsn = log->next() - 1;
      const auto record = log->read(lsn);
      if (!record || record->length == 0) continue;
      const Slice at = record->slices[life.random.below(record->slices.size())];
      damaged.assign(crashed);
      store->core->buffer(at.buffer)[at.offset + life.random.below(at.length)] ^= std::byte{16};
    }
    auto store = Store::open(std::make_unique<ImageRegion>(damaged.span(), options_.domain));
    if (!store) return "a damaged record closes the whole pool: " + store.error().message();
    log::Log* log = store->logs->find(name);
    if (log->next() != lsn + 1) return "damage in a record that a seal vouches for looks torn";
    const auto record = log->read(lsn);
    if (record || record.error().code() != Code::corrupt) return "a damaged record was read";
  }
  return {};
}

// More operations on a store that was recovered; then all of it must be there again.
std::string Trial::live_on(Store& store, Life& life, Model& model, uint32_t operations) {
  Workload work(store, model, life.random.next());
  const bool done = options_.next_script ? options_.next_script(work) : work.run(operations);
  if (!done || !work.finish()) return with("in the next life", work.problem());
  auto& shadow = static_cast<ShadowRegion&>(*store.region);
  ImageBuffer& after = *spare_[life.depth * 2 + 1];
  after.assign(shadow.oldest());
  auto reopened = Store::open(std::make_unique<ImageRegion>(after.span(), options_.domain));
  if (!reopened) return "after the next life it does not open: " + reopened.error().message();
  if (std::string wrong = model.check(*reopened); !wrong.empty()) {
    return with("after the next life", wrong);
  }
  return with("after the next life", audit(*reopened));
}

std::string Trial::second_life(std::unique_ptr<ShadowRegion> region, Life& before) {
  ++counts_.second_lives;
  ShadowRegion* shadow = region.get();
  disable_sites(*shadow);
  Life life{before.model, before.epoch_base, before.depth + 1,
            pmem::ShadowRandom(before.random.next())};
  shadow->set_barrier_polls(static_cast<uint32_t>(life.random.below(3)));
  const uint64_t images = life.depth == 1 ? options_.next_life_images : 10;
  Explorer explorer({.seed = life.random.next(),
                     .images = images,
                     .exhaustive = 16,
                     .per_point = options_.next_life_per_moment});
  observe(*shadow, explorer, life, CrashOf::power);
  std::string wrong;
  Model model;
  {
    auto store = Store::open(std::move(region));
    if (!store) {
      wrong = "it does not open: " + store.error().message();
    } else if (wrong = before.model->check(*store); wrong.empty()) {
      model = before.model->accept(*store);
      life.model = &model;
      life.epoch_base = 1000;
      shadow->mark();  // whoever opened the pool may already have told somebody what is in it
      wrong = live_on(*store, life, model, 8);
      shadow->set_observer({});
    }
  }
  add(explorer);
  if (!explorer.failure().empty()) wrong = explorer.failure();
  return with("second life", wrong);
}

}  // namespace paste::crash
