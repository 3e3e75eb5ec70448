// A region for the tests of the pool: memory that records what is flushed and keeps apart what a
// power loss would leave. Barriers may stay in flight, as in the page domain, or fail.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bitset>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/check.h"
#include "pmem/region.h"
#include "pool/core.h"

namespace paste::pool {
using Image = std::vector<std::byte>;

// Zeroes. Large ones cost nothing until touched, so that a pool of 64 GiB fits in any machine;
// small ones come from the heap, since a test may want thousands.
class Mapping {
 public:
  explicit Mapping(uint64_t size) : size_(size) {
    if (small()) {
      at_ = std::aligned_alloc(4096, size);
      PASTE_CHECK(at_ != nullptr);
      std::memset(at_, 0, size);
      return;
    }
    at_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
    PASTE_CHECK(at_ != MAP_FAILED);
  }
  ~Mapping() { small() ? std::free(at_) : static_cast<void>(munmap(at_, size_)); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(at_); }

 private:
  [[nodiscard]] bool small() const noexcept { return size_ <= 4u << 20; }
  void* at_;
  uint64_t size_;
};

// Nothing is recorded: for large pools, and where only the memory counts.
class PlainRegion : public pmem::Region {
 public:
  explicit PlainRegion(uint64_t size, pmem::Domain domain = pmem::Domain::process)
      : mapping_(size) {
    data_ = mapping_.data();
    size_ = size;
    domain_ = domain;
    description_ = "test region";
  }
  explicit PlainRegion(const Image& image, pmem::Domain domain = pmem::Domain::process)
      : PlainRegion(image.size(), domain) {
    std::memcpy(data_, image.data(), image.size());
  }
  void flush(const void* p, size_t n, Site) noexcept override {
    const auto* at = static_cast<const std::byte*>(p);
    PASTE_CHECK(at >= data_ && at + n <= data_ + size_);
  }
  Result<void> begin_barrier(Site) override { return {}; }
  Result<bool> poll_barrier() override { return true; }
  Result<void> wait_barrier() override { return {}; }

  [[nodiscard]] Image image() const { return Image(data_, data_ + size_); }
  void add_bad(uint64_t offset, uint64_t length) { bad_ranges_.emplace_back(offset, length); }

 private:
  Mapping mapping_;
};

class FakeRegion final : public PlainRegion {
 public:
  enum class What : uint8_t { flush, begin, complete };
  struct Event {
    What what;
    Site site;  // of complete: that of the barrier's begin
    uint64_t offset;
    uint64_t word;  // the first word of what was flushed
  };

  explicit FakeRegion(uint64_t size, pmem::Domain domain = pmem::Domain::process)
      : PlainRegion(size, domain), durable(size) {}

  void flush(const void* p, size_t n, Site site) noexcept override {
    PlainRegion::flush(p, n, site);
    const auto offset = static_cast<uint64_t>(static_cast<const std::byte*>(p) - data_);
    Event event{What::flush, site, offset, 0};
    if (n >= sizeof event.word) std::memcpy(&event.word, p, sizeof event.word);
    if (!disabled.test(static_cast<size_t>(site))) {
      const uint64_t from = offset / 64 * 64;
      const uint64_t to = (offset + n + 63) / 64 * 64;
      flushed_.push_back({from, Image(data_ + from, data_ + to)});
    }
    note(event);
  }
  Result<void> begin_barrier(Site site) override {
    PASTE_CHECK(!barrier_in_flight_);
    if (failing) return fail(Code::failed, "the test's medium failed");
    if (!disabled.test(static_cast<size_t>(site))) {
      for (auto& each : flushed_) in_flight_.push_back(std::move(each));
      flushed_.clear();
    }
    barrier_in_flight_ = true;
    site_ = site;
    note({What::begin, site, 0, 0});
    if (!asynchronous) complete();
    return {};
  }
  Result<bool> poll_barrier() override {
    if (failing) return fail(Code::failed, "the test's medium failed");
    return !barrier_in_flight_;
  }
  Result<void> wait_barrier() override {
    if (barrier_in_flight_ && !failing) complete();
    PASTE_TRY(poll_barrier());
    return {};
  }
  void complete() {
    PASTE_CHECK(barrier_in_flight_);
    for (const auto& [offset, bytes] : in_flight_) {
      std::memcpy(&durable[offset], bytes.data(), bytes.size());
    }
    in_flight_.clear();
    barrier_in_flight_ = false;
    note({What::complete, site_, 0, 0});
  }
  [[nodiscard]] size_t count(What what, Site site) const {
    size_t n = 0;
    for (const Event& e : events) n += e.what == what && e.site == site;
    return n;
  }
  [[nodiscard]] size_t barriers() const {
    return static_cast<size_t>(std::count_if(events.begin(), events.end(),
                                             [](const Event& e) { return e.what == What::begin; }));
  }

  Image durable;  // what a power loss leaves at least: content at the flush, line by line
  std::vector<Event> events;
  std::function<void()> observer;  // called after each event
  bool asynchronous = false;       // barriers stay in flight until complete() or a wait
  bool failing = false;
  std::bitset<static_cast<size_t>(Site::count_)> disabled;  // sites that do nothing
 private:
  struct Part {
    uint64_t offset;
    Image bytes;
  };
  void note(Event event) {
    events.push_back(event);
    if (observer) observer();
  }

  std::vector<Part> flushed_;
  std::vector<Part> in_flight_;
  Site site_ = Site::barrier_ticket;
};

// Opens with nothing claimed.
inline Result<std::unique_ptr<Core>> open_whole(std::unique_ptr<pmem::Region> region,
                                                const OpenOptions& options = {}) {
  PASTE_TRY_ASSIGN(auto core, Core::open(std::move(region), options));
  PASTE_TRY(core->finish_recovery());
  return core;
}
inline Result<std::unique_ptr<Core>> open_image(const Image& image,
                                                const OpenOptions& options = {}) {
  return open_whole(std::make_unique<PlainRegion>(image), options);
}

inline constexpr uint64_t kSmall = 256 << 10;

// A new pool on a region of type R; `region` stays valid as long as `core`.
template <typename R = FakeRegion>
struct TestPool {
  explicit TestPool(uint64_t size = kSmall, uint32_t buffer_size = 2048) {
    auto owned = std::make_unique<R>(size);
    region = owned.get();
    must(Core::create(*region, {.buffer_size = buffer_size}));
    core = must(open_whole(std::move(owned)));
  }
  [[nodiscard]] uint64_t* word(BufferName name, size_t index) const {
    return reinterpret_cast<uint64_t*>(core->buffer(name)) + index;
  }
  void commit() const { must(core->wait_durable(core->filling())); }
  // Commits until no list waits to be retired and nothing that was freed still is.
  void settle() const {
    commit();
    while (core->changed()) commit();
  }
  R* region;
  std::unique_ptr<Core> core;
};

}  // namespace paste::pool
