#include "tests/crash/explorer.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace paste::crash {

using pmem::ShadowRegion;

ImageRegion::ImageRegion(std::span<std::byte> image, pmem::Domain domain) {
  data_ = image.data();
  size_ = image.size();
  domain_ = domain;
  description_ = "crash image";
}

void ImageRegion::flush(const void* p, size_t n, pmem::Site) noexcept {
  const auto* at = static_cast<const std::byte*>(p);
  PASTE_CHECK(at >= data_ && n <= size_ && at + n <= data_ + size_);
}

ImageBuffer::ImageBuffer(size_t size)
    : data_(static_cast<std::byte*>(std::aligned_alloc(4096, size))), size_(size) {
  PASTE_CHECK(data_ != nullptr);
  std::memset(data_.get(), 0, size);
}

void ImageBuffer::Free::operator()(std::byte* p) const noexcept { std::free(p); }

void ImageBuffer::assign(Bytes image) noexcept {
  PASTE_CHECK(image.size() == size_);
  for (size_t at = 0; at < size_; at += 4096) {
    if (std::memcmp(data_.get() + at, image.data() + at, 4096) != 0) {
      std::memcpy(data_.get() + at, image.data() + at, 4096);
    }
  }
}

Explorer::Explorer(const ExplorerOptions& options) : options_(options), random_(options.seed) {}

bool Explorer::prepare(const ShadowRegion& region, uint64_t epoch, const Check& check) {
  if (done()) return false;
  ++moments_;
  if (!work_ || work_->span().size() != region.size()) {
    work_ = std::make_unique<ImageBuffer>(region.size());
  }
  region_ = &region;
  check_ = &check;
  epoch_ = epoch;
  return true;
}

bool Explorer::power(const ShadowRegion& region, uint64_t epoch, const Check& check) {
  if (!prepare(region, epoch, check)) return false;
  region.units(units_);
  place_.clear();
  size_t bytes = 0;
  uint64_t combinations = 1;
  for (const auto& unit : units_) {
    place_.push_back(bytes);
    bytes += unit.lines * ShadowRegion::kLine;
    combinations = unit.alternatives > ShadowRegion::kMany / combinations
                       ? ShadowRegion::kMany
                       : combinations * unit.alternatives;
  }
  contents_.resize(bytes);
  set_all(false);
  units_hash_ = 0;
  for (size_t u = 0; u < units_.size(); ++u) {
    for (uint32_t i = 0; i < units_[u].lines; ++i) {
      units_hash_ ^= ShadowRegion::line_hash(
          units_[u].line + i, region.oldest().data() + (units_[u].line + i) * ShadowRegion::kLine);
    }
  }
  if (combinations <= options_.exhaustive) {
    explore_all(combinations);
  } else {
    explore_some();
  }
  return !done();
}

void Explorer::explore_all(uint64_t combinations) {
  for (uint64_t n = 0; n < combinations; ++n) {
    uint64_t rest = n;
    for (size_t u = 0; u < units_.size(); ++u) {
      put(u, rest % units_[u].alternatives);
      rest /= units_[u].alternatives;
    }
    if (!try_image("one of all combinations")) return;
  }
}

void Explorer::explore_some() {
  const uint64_t end = images_ + options_.per_point;
  set_all(false);
  if (!try_image("everything oldest")) return;
  set_all(true);
  if (!try_image("everything newest")) return;
  std::vector<size_t> alone;
  for (size_t u = 0; u < units_.size(); ++u) {
    if (units_[u].recent) alone.push_back(u);
  }
  for (uint32_t i = 0; i < 4; ++i) alone.push_back(random_.below(units_.size()));
  for (size_t i = alone.size(); i > 1; --i) std::swap(alone[i - 1], alone[random_.below(i)]);
  // A third of the images is left for random ones.
  const uint64_t alone_end = images_ + options_.per_point * 2 / 3;
  for (const bool newest : {false, true}) {
    set_all(newest);
    for (const size_t u : alone) {
      if (images_ >= alone_end) break;
      put(u, newest ? 0 : ShadowRegion::kNewest);
      if (!try_image(newest ? "one unit oldest" : "one unit newest")) return;
      put(u, newest ? ShadowRegion::kNewest : 0);
    }
  }
  for (uint32_t tries = 0; images_ < end && tries < options_.per_point; ++tries) {
    explore_random();
    if (!try_image("random")) return;
  }
}

// Whole images are skewed to old or new, and to torn or whole: most faults need nearly everything
// in one state and a little in another.
void Explorer::explore_random() {
  static constexpr uint32_t kNewestPercent[] = {3, 20, 50, 80, 97};
  static constexpr uint32_t kTornPercent[] = {0, 0, 5, 50};
  const uint32_t newest = kNewestPercent[random_.below(std::size(kNewestPercent))];
  const uint32_t torn = kTornPercent[random_.below(std::size(kTornPercent))];
  for (size_t u = 0; u < units_.size(); ++u) {
    if (random_.chance(20)) {
      region_->write_random(units_[u], random_, torn, contents_.data() + place_[u]);
    } else {
      put(u, random_.chance(newest) ? ShadowRegion::kNewest : 0);
    }
  }
}

void Explorer::set_all(bool newest) {
  for (size_t u = 0; u < units_.size(); ++u) put(u, newest ? ShadowRegion::kNewest : 0);
}

void Explorer::put(size_t unit, uint64_t alternative) {
  region_->write(units_[unit], alternative, contents_.data() + place_[unit]);
}

bool Explorer::try_image(const char* how) {
  uint64_t hash = region_->oldest_hash() ^ units_hash_;
  for (size_t u = 0; u < units_.size(); ++u) {
    for (uint32_t i = 0; i < units_[u].lines; ++i) {
      hash ^= ShadowRegion::line_hash(units_[u].line + i,
                                      contents_.data() + place_[u] + i * ShadowRegion::kLine);
    }
  }
  hash ^= (epoch_ + 1) * 0xA0761D6478BD642Full;
  if (!seen_.insert(hash).second) {
    ++duplicates_;
    return !done();
  }
  work_->assign(region_->oldest());
  for (size_t u = 0; u < units_.size(); ++u) {
    std::memcpy(work_->span().data() + units_[u].line * ShadowRegion::kLine,
                contents_.data() + place_[u], units_[u].lines * ShadowRegion::kLine);
  }
  return check_image(how, hash);
}

bool Explorer::check_image(const char* how, uint64_t hash) {
  ++images_;
  std::string wrong = (*check_)(work_->span());
  if (!wrong.empty()) {
    failure_ = fmt::format("{} [seed {}, moment {}, image {}: {}, hash {:016x}]", wrong,
                           options_.seed, moments_, images_, how, hash);
  }
  return !done();
}

bool Explorer::process(const ShadowRegion& region, uint64_t epoch, const Check& check) {
  if (region.domain() == pmem::Domain::page) return power(region, epoch, check);
  if (!prepare(region, epoch, check)) return false;
  const std::vector<uint32_t>& changed = region.changed();
  for (uint32_t n = 0; n < 3; ++n) {
    if (n > 0 && changed.empty()) break;
    work_->assign(region.visible());
    for (const uint32_t line : changed) {
      if (n == 1 || (n == 2 && random_.chance(50))) {
        region.write_before(line, work_->span().data() + line * ShadowRegion::kLine);
      }
    }
    if (!check_image(n == 0 ? "process crash now" : "process crash between events", 0)) break;
  }
  return !done();
}

namespace {
uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}
}  // namespace

uint64_t images_from_environment(uint64_t otherwise) {
  return number_from_environment("PASTE_CRASH_IMAGES", otherwise);
}

uint64_t seed_from_environment(uint64_t otherwise) {
  return number_from_environment("PASTE_CRASH_SEED", otherwise);
}

}  // namespace paste::crash
