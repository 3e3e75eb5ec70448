#include "pmem/shadow.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace paste::pmem {
namespace {

constexpr uint32_t kWordsPerLine = 8;
constexpr uint32_t kLinesPerSector = ShadowRegion::kSector / ShadowRegion::kLine;
constexpr uint32_t kLinesPerBlock = ShadowRegion::kBlock / ShadowRegion::kLine;

std::byte* copy_of(const std::byte* image, uint64_t size) {
  auto* p = static_cast<std::byte*>(std::aligned_alloc(ShadowRegion::kBlock, size));
  PASTE_CHECK(p != nullptr);
  if (image == nullptr) {
    std::memset(p, 0, size);
  } else {
    std::memcpy(p, image, size);
  }
  return p;
}

uint64_t add_capped(uint64_t a, uint64_t b) noexcept {
  return std::min(a + b, ShadowRegion::kMany);
}

uint64_t multiply_capped(uint64_t a, uint64_t b) noexcept {
  return a > ShadowRegion::kMany / b ? ShadowRegion::kMany : a * b;
}

// The words of `mask` that the bits of `subset` choose, in order.
uint32_t spread(uint32_t subset, uint32_t mask) noexcept {
  uint32_t chosen = 0;
  for (; mask != 0; mask &= mask - 1, subset >>= 1) {
    if ((subset & 1) != 0) chosen |= mask & -mask;
  }
  return chosen;
}

}  // namespace

uint64_t ShadowRandom::next() noexcept {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

ShadowRegion::ShadowRegion(Domain domain, uint64_t size, const std::byte* image) {
  PASTE_CHECK(size % kBlock == 0);
  data_ = copy_of(image, size);
  last_ = copy_of(image, size);
  durable_ = copy_of(image, size);
  size_ = size;
  domain_ = domain;
  description_ = "shadow region, domain " + std::string(to_string(domain));
  for (uint64_t line = 0; line < size / kLine; ++line) {
    hash_ ^= line_hash(line, durable_ + line * kLine);
  }
  slot_.assign(size / kLine, -1);
  touched_at_.assign(size / kLine, 0);
  dirty_.assign(size / kBlock, 0);
  in_flight_.assign(size / kBlock, 0);
  events_ = 2;  // so that 0 is never recent
}

ShadowRegion::~ShadowRegion() {
  for (std::byte* p : {data_, last_, durable_}) std::free(p);
  if (event_fd_ >= 0) ::close(event_fd_);
}

std::unique_ptr<ShadowRegion> ShadowRegion::create(Domain domain, uint64_t size) {
  return std::unique_ptr<ShadowRegion>(new ShadowRegion(domain, size, nullptr));
}

std::unique_ptr<ShadowRegion> ShadowRegion::from_image(Domain domain, Bytes image) {
  return std::unique_ptr<ShadowRegion>(new ShadowRegion(domain, image.size(), image.data()));
}

std::unique_ptr<ShadowRegion> ShadowRegion::after_process_crash(Bytes image) const {
  PASTE_CHECK(image.size() == size_);
  auto next = from_image(domain_, oldest());
  for (const OpenLine& open : open_) {
    const std::byte* visible = image.data() + open.line * kLine;
    OpenLine& copy = next->open_line(open.line);
    if (!page()) {
      copy.versions = open.versions;
      if (std::memcmp(visible, copy.versions.back().words.data(), kLine) != 0 &&
          copy.versions.size() > 1) {
        copy.versions.pop_back();
      }
    }
    if (std::memcmp(visible, copy.versions.back().words.data(), kLine) != 0) {
      next->push_version(copy, visible);
    }
    copy.newest = static_cast<uint32_t>(copy.versions.size() - 1);
    if (copy.versions.size() == 1) next->close(static_cast<uint32_t>(next->slot_[open.line]));
  }
  std::memcpy(next->data_, image.data(), size_);
  std::memcpy(next->last_, image.data(), size_);
  return next;
}

// --- The region's interface ----------------------------------------------------------------------

void ShadowRegion::flush(const void* p, size_t n, Site site) noexcept {
  const auto offset = static_cast<uint64_t>(static_cast<const std::byte*>(p) - data_);
  PASTE_CHECK(offset <= size_ && n <= size_ - offset);
  note_changes();
  if (n > 0) {
    SiteCount& count = counts_[static_cast<size_t>(site)];
    ++count.calls;
    if (!disabled_[static_cast<size_t>(site)]) {
      cover(offset / kLine, (offset + n - 1) / kLine, count);
    }
  }
  event(Event::flush, site);
}

void ShadowRegion::cover(uint64_t first_line, uint64_t last_line, SiteCount& count) {
  count.lines += last_line - first_line + 1;
  if (page()) {
    for (uint64_t block = first_line / kLinesPerBlock; block <= last_line / kLinesPerBlock;
         ++block) {
      dirty_[block] = 1;
    }
    return;
  }
  for (uint64_t line = first_line; line <= last_line; ++line) {
    OpenLine* open = slot_[line] < 0 ? nullptr : &open_[static_cast<size_t>(slot_[line])];
    if (open == nullptr || open->covered + 1 == open->versions.size()) {
      ++count.wasted;
      continue;
    }
    if (open->covered == 0) pending_.push_back(static_cast<uint32_t>(line));
    open->covered = static_cast<uint32_t>(open->versions.size() - 1);
  }
}

Result<void> ShadowRegion::begin_barrier(Site site) {
  PASTE_CHECK(!barrier_in_flight_);
  if (failed_) return fail(Code::failed, "an earlier write of the shadow region failed");
  note_changes();
  ++counts_[static_cast<size_t>(site)].calls;
  event(Event::barrier_begin, site);
  if (disabled_[static_cast<size_t>(site)]) return {};
  barrier_site_ = site;
  if (!page()) {
    guarantee_covered();
    changed_.clear();
    event(Event::barrier_done, site);
    return {};
  }
  submit();
  failing_ = barriers_to_failure_ != 0 && --barriers_to_failure_ == 0;
  if (barrier_polls_ == 0) return wait_barrier();
  polls_left_ = barrier_polls_;
  if (event_fd_ < 0) event_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const uint64_t one = 1;
  PASTE_CHECK(::write(event_fd_, &one, sizeof one) == sizeof one);
  return {};
}

Result<bool> ShadowRegion::poll_barrier() {
  if (failed_) return fail(Code::failed, "an earlier write of the shadow region failed");
  if (!barrier_in_flight_) return true;
  if (polls_left_ > 1) {
    --polls_left_;
    return false;
  }
  PASTE_TRY(wait_barrier());
  return true;
}

Result<void> ShadowRegion::wait_barrier() {
  if (failed_) return fail(Code::failed, "an earlier write of the shadow region failed");
  if (!barrier_in_flight_) return {};
  note_changes();
  event(Event::barrier_done, barrier_site_);  // as late as a crash may still find it in flight
  barrier_in_flight_ = false;
  if (event_fd_ >= 0) {
    uint64_t drained = 0;
    if (::read(event_fd_, &drained, sizeof drained) < 0) drained = 0;
  }
  if (failing_) {
    failed_ = true;
    return fail(Code::failed, "a write of the shadow region failed, as the test asked");
  }
  complete();
  changed_.clear();
  event(Event::barrier_done, barrier_site_);
  return {};
}

void ShadowRegion::mark() {
  note_changes();
  event(Event::mark, Site::count_);
}

void ShadowRegion::event(Event event, Site site) {
  ++events_;
  if (observer_) observer_(*this, event, site);
}

// --- Versions of lines ---------------------------------------------------------------------------

void ShadowRegion::note_changes() {
  changed_.clear();
  for (uint64_t page = 0; page < size_; page += kBlock) {
    if (std::memcmp(data_ + page, last_ + page, kBlock) == 0) continue;
    for (uint64_t at = page; at < page + kBlock; at += kLine) {
      if (std::memcmp(data_ + at, last_ + at, kLine) != 0) {
        note_line(static_cast<uint32_t>(at / kLine));
      }
    }
  }
}

void ShadowRegion::note_line(uint32_t line) {
  push_version(open_line(line), data_ + line * kLine);
  std::memcpy(last_ + line * kLine, data_ + line * kLine, kLine);
  changed_.push_back(line);
  touch(line);
}

void ShadowRegion::touch(uint32_t line) { touched_at_[line] = events_; }

ShadowRegion::OpenLine& ShadowRegion::open_line(uint32_t line) {
  if (slot_[line] >= 0) return open_[static_cast<size_t>(slot_[line])];
  slot_[line] = static_cast<int32_t>(open_.size());
  OpenLine& open = open_.emplace_back();
  open.line = line;
  open.submitted = in_flight_[line / kLinesPerBlock] != 0 ? 0 : -1;
  open.versions.push_back({});
  std::memcpy(open.versions[0].words.data(), durable_ + line * kLine, kLine);
  return open;
}

void ShadowRegion::push_version(OpenLine& open, const std::byte* bytes) {
  Version version{};
  std::memcpy(version.words.data(), bytes, kLine);
  const Words& before = open.versions.back().words;
  for (uint32_t i = 0; i < kWordsPerLine; ++i) {
    if (version.words[i] != before[i]) version.changed |= static_cast<uint8_t>(1u << i);
  }
  open.versions.push_back(version);
}

void ShadowRegion::drop_before(OpenLine& open, uint32_t index) {
  std::byte* durable = durable_ + open.line * kLine;
  hash_ ^= line_hash(open.line, durable);
  std::memcpy(durable, open.versions[index].words.data(), kLine);
  hash_ ^= line_hash(open.line, durable);
  open.versions.erase(open.versions.begin(), open.versions.begin() + index);
  open.covered -= std::min(open.covered, index);
  open.newest -= std::min(open.newest, index);
  touch(open.line);
}

void ShadowRegion::close(uint32_t slot) {
  slot_[open_[slot].line] = -1;
  if (slot + 1 != open_.size()) {
    open_[slot] = std::move(open_.back());
    slot_[open_[slot].line] = static_cast<int32_t>(slot);
  }
  open_.pop_back();
}

void ShadowRegion::guarantee_covered() {
  for (const uint32_t line : pending_) {
    const auto slot = static_cast<uint32_t>(slot_[line]);
    drop_before(open_[slot], open_[slot].covered);
    if (open_[slot].versions.size() == 1) close(slot);
  }
  pending_.clear();
}

void ShadowRegion::submit() {
  in_flight_ = dirty_;
  std::fill(dirty_.begin(), dirty_.end(), uint8_t{0});
  for (OpenLine& open : open_) {
    if (in_flight_[open.line / kLinesPerBlock] == 0) continue;
    open.submitted = static_cast<int32_t>(open.versions.size() - 1);
    touch(open.line);
  }
  barrier_in_flight_ = true;
}

void ShadowRegion::complete() {
  for (uint32_t slot = 0; slot < open_.size();) {
    OpenLine& open = open_[slot];
    if (open.submitted >= 0) {
      drop_before(open, static_cast<uint32_t>(open.submitted));
      open.submitted = -1;
      open.newest = static_cast<uint32_t>(open.versions.size() - 1);
    }
    if (open.versions.size() == 1) {
      close(slot);
    } else {
      ++slot;
    }
  }
  std::fill(in_flight_.begin(), in_flight_.end(), uint8_t{0});
}

// --- What a crash leaves -------------------------------------------------------------------------

uint64_t ShadowRegion::line_hash(uint64_t line, const std::byte* bytes) noexcept {
  uint64_t hash = (line + 1) * 0x9E3779B97F4A7C15ull;
  for (uint32_t i = 0; i < kWordsPerLine; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i * sizeof word, sizeof word);
    hash = (hash ^ word) * 0xD6E8FEB86659FD93ull;
    hash ^= hash >> 32;
  }
  return hash;
}

ShadowRegion::Range ShadowRegion::old_range(const OpenLine& open) const noexcept {
  return {0, page() ? open.newest : static_cast<uint32_t>(open.versions.size() - 1)};
}

const ShadowRegion::OpenLine* ShadowRegion::find(uint32_t line) const noexcept {
  return slot_[line] < 0 ? nullptr : &open_[static_cast<size_t>(slot_[line])];
}

// The first version of the range, and for each later one all but the empty subset of its words.
uint64_t ShadowRegion::alternatives(const OpenLine& open, Range range) noexcept {
  uint64_t n = 1;
  for (uint32_t i = range.first + 1; i <= range.last; ++i) {
    n += (uint64_t{1} << std::popcount(open.versions[i].changed)) - 1;
  }
  return n;
}

ShadowRegion::Words ShadowRegion::pick(const OpenLine& open, Range range, uint64_t index) noexcept {
  if (index == kNewest) return open.versions[range.last].words;
  Words words = open.versions[range.first].words;
  for (uint32_t i = range.first + 1; i <= range.last && index > 0; ++i) {
    const Version& version = open.versions[i];
    const uint64_t subsets = (uint64_t{1} << std::popcount(version.changed)) - 1;
    const uint64_t subset = std::min(index, subsets);
    const uint32_t chosen = spread(static_cast<uint32_t>(subset), version.changed);
    for (uint32_t w = 0; w < kWordsPerLine; ++w) {
      if ((chosen >> w & 1) != 0) words[w] = version.words[w];
    }
    index -= subset;
  }
  return words;
}

ShadowRegion::Words ShadowRegion::pick_random(const OpenLine& open, Range range,
                                              ShadowRandom& random, uint32_t torn) {
  const uint64_t n = alternatives(open, range);
  if (random.chance(torn)) return pick(open, range, random.below(n));
  return open.versions[range.first + random.below(range.last - range.first + 1)].words;
}

uint64_t ShadowRegion::sector_alternatives(uint32_t line, bool in_flight) const {
  uint64_t n = 1;
  for (uint32_t i = line; i < line + kLinesPerSector; ++i) {
    const OpenLine* open = find(i);
    if (open == nullptr) continue;
    if (in_flight) {
      const auto last = static_cast<uint32_t>(open->versions.size() - 1);
      n = multiply_capped(n, alternatives(*open, {static_cast<uint32_t>(open->submitted), last}));
    } else {
      n = multiply_capped(n, alternatives(*open, old_range(*open)));
    }
  }
  return n;
}

void ShadowRegion::units(std::vector<Unit>& out) const {
  out.clear();
  std::vector<uint32_t> lines;
  lines.reserve(open_.size());
  for (const OpenLine& open : open_) {
    lines.push_back(page() ? open.line / kLinesPerSector * kLinesPerSector : open.line);
  }
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  const uint32_t count = page() ? kLinesPerSector : 1;
  for (const uint32_t line : lines) {
    Unit unit{line, count, 0, false};
    for (uint32_t i = line; i < line + count; ++i) unit.recent |= touched_at_[i] + 1 >= events_;
    if (!page()) {
      unit.alternatives = alternatives(*find(line), old_range(*find(line)));
    } else {
      unit.alternatives = sector_alternatives(line, false);
      if (in_flight_[line / kLinesPerBlock] != 0) {
        unit.alternatives = add_capped(unit.alternatives, sector_alternatives(line, true));
      }
    }
    if (unit.alternatives > 1) out.push_back(unit);
  }
}

void ShadowRegion::write(const Unit& unit, uint64_t alternative, std::byte* out) const {
  if (!page()) {
    const OpenLine& open = *find(unit.line);
    const Words words = pick(open, old_range(open), alternative);
    std::memcpy(out, words.data(), kLine);
    return;
  }
  const bool in_flight = in_flight_[unit.line / kLinesPerBlock] != 0;
  if (alternative == kNewest || !in_flight) {
    write_sector(unit.line, in_flight, alternative, out);
    return;
  }
  const uint64_t old = sector_alternatives(unit.line, false);
  write_sector(unit.line, alternative >= old, alternative >= old ? alternative - old : alternative,
               out);
}

void ShadowRegion::write_sector(uint32_t line, bool in_flight, uint64_t index,
                                std::byte* out) const {
  for (uint32_t i = line; i < line + kLinesPerSector; ++i, out += kLine) {
    const OpenLine* open = find(i);
    if (open == nullptr) {
      std::memcpy(out, durable_ + i * kLine, kLine);
      continue;
    }
    Range range = old_range(*open);
    if (in_flight) {
      range = {static_cast<uint32_t>(open->submitted),
               static_cast<uint32_t>(open->versions.size() - 1)};
    }
    const uint64_t n = alternatives(*open, range);
    const Words words = pick(*open, range, index == kNewest ? kNewest : index % n);
    if (index != kNewest) index /= n;
    std::memcpy(out, words.data(), kLine);
  }
}

void ShadowRegion::write_random(const Unit& unit, ShadowRandom& random, uint32_t torn,
                                std::byte* out) const {
  const bool in_flight = page() && in_flight_[unit.line / kLinesPerBlock] != 0 && random.chance(50);
  for (uint32_t i = unit.line; i < unit.line + unit.lines; ++i, out += kLine) {
    const OpenLine* open = find(i);
    if (open == nullptr) {
      std::memcpy(out, durable_ + i * kLine, kLine);
      continue;
    }
    Range range = old_range(*open);
    if (in_flight) {
      range = {static_cast<uint32_t>(open->submitted),
               static_cast<uint32_t>(open->versions.size() - 1)};
    }
    const Words words = pick_random(*open, range, random, torn);
    std::memcpy(out, words.data(), kLine);
  }
}

void ShadowRegion::write_before(uint32_t line, std::byte* out) const {
  const OpenLine& open = *find(line);
  std::memcpy(out, open.versions[open.versions.size() - 2].words.data(), kLine);
}

}  // namespace paste::pmem
