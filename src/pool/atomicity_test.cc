// Goal: whatever a crash leaves, the words of a ticket are there all or none, in order of tickets,
// and no redone word ever lands in somebody's record. Method: random tickets that publish words,
// free buffers and use them again as records; at every flush and barrier the memory is cut: what is
// guaranteed, everything, and random mixtures of both word by word. Each image is opened, and what
// it shows must be one state between the durable and the last closed ticket. Leaving out any one
// site must be noticed.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <map>
#include <optional>
#include <random>

#include "pool/test_region.h"

namespace paste::pool {
namespace {

constexpr size_t kWords = 4;
using Words = std::array<uint64_t, kWords>;
using State = std::map<BufferName, Words>;  // structures, and what their words hold

struct Kept {
  BufferName buffer;
  uint8_t fill;
  uint64_t ticket;
};

class Explorer {
 public:
  Explorer(uint32_t seed, std::optional<Site> disabled) : random_(seed) {
    while (live_.size() < 6) add_structure();
    pool_.commit();
    states_[0] = live_;
    for (uint64_t t = 0; t < pool_.core->filling().value; ++t) states_[t] = live_;
    if (disabled) pool_.region->disabled.set(static_cast<size_t>(*disabled));
    pool_.region->asynchronous = seed % 2 == 1;
    pool_.region->observer = [this] { cut(); };
  }
  ~Explorer() { pool_.region->observer = nullptr; }

  // The first thing found wrong.
  std::optional<std::string> run(int steps) {
    for (int i = 0; i < steps && !wrong_; ++i) step();
    return wrong_;
  }
  uint64_t images() const { return images_; }

 private:
  uint64_t below(uint64_t n) { return random_() % n; }

  void step() {
    Core& core = *pool_.core;
    for (uint64_t n = below(4); n > 0; --n) {
      const BufferName name = any();
      for (uint64_t k = 1 + below(kWords); k > 0; --k) {
        const size_t index = below(kWords);
        live_[name][index] = ++value_;
        must(core.publish(pool_.word(name, index), value_));
      }
    }
    if (below(3) == 0) replace_structure();
    if (below(2) == 0) add_record();
    if (records_.size() > 12) drop_record();
    // The records and words of a ticket belong together: nothing is cut while it fills.
    states_[core.filling().value] = live_;
    must(core.commit());
    if (pool_.region->asynchronous) {
      if (core.durable().value + 1 < core.filling().value && below(3) != 0) {
        if (pool_.region->barrier_in_flight()) pool_.region->complete();
        must(core.poll_sync());
      }
    }
    while (!states_.empty() && states_.begin()->first < core.durable().value) {
      states_.erase(states_.begin());
    }
  }
  BufferName any() {
    auto at = live_.begin();
    std::advance(at, static_cast<ptrdiff_t>(below(live_.size())));
    return at->first;
  }
  void add_structure() {
    const BufferName name = must(pool_.core->take_zeroed(Purpose::room));
    live_[name] = {};
  }
  // What the freed one held was published, so that a list may still name its words.
  void replace_structure() {
    const BufferName name = any();
    must(pool_.core->publish(pool_.word(name, 0), ++value_));
    pool_.core->release_after_ticket(name);
    live_.erase(name);
    add_structure();
  }
  void add_record() {
    auto taken = pool_.core->take(Purpose::data);
    if (!taken) return;
    const auto fill = static_cast<uint8_t>(1 + below(255));
    std::memset(pool_.core->buffer(*taken), fill, pool_.core->buffer_size());
    pool_.core->flush(pool_.core->buffer(*taken), pool_.core->buffer_size(), Site::log_data);
    records_.push_back({*taken, fill, pool_.core->filling().value});
  }
  void drop_record() {
    const size_t at = below(records_.size());
    pool_.core->release_after_ticket(records_[at].buffer);
    records_.erase(records_.begin() + static_cast<ptrdiff_t>(at));
  }

  void cut() {
    if (wrong_) return;
    const Image memory = pool_.region->image();
    const Image& durable = pool_.region->durable;
    check(durable, "all that is not guaranteed is lost");
    check(memory, "nothing is lost");
    for (int i = 0; i < 2; ++i) {
      Image mixed = durable;
      const uint64_t share = 1 + below(9);
      for (size_t at = 0; at < mixed.size(); at += 8) {
        if (std::memcmp(&mixed[at], &memory[at], 8) != 0 && below(10) < share) {
          std::memcpy(&mixed[at], &memory[at], 8);
        }
      }
      check(mixed, "some is lost");
    }
  }

  void check(const Image& image, const char* how) {
    ++images_;
    auto opened = open_image(image);
    if (!opened) {
      wrong_ = fmt::format("{}: {}", how, opened.error().message());
      return;
    }
    const Core& core = **opened;
    const uint64_t durable = pool_.core->durable().value;
    const uint64_t last = pool_.core->filling().value;  // a closing ticket is counted late
    bool found = false;
    for (uint64_t t = durable; t <= last && !found; ++t) {
      found = states_.count(t) != 0 && shows(core, states_[t]);
    }
    if (!found) wrong_ = fmt::format("{}: the words are of no ticket", how);
    for (const Kept& kept : records_) {
      const std::byte* at = core.buffer(kept.buffer);
      const auto same = [&](std::byte b) { return b == std::byte{kept.fill}; };
      if (kept.ticket <= durable && !std::all_of(at, at + core.buffer_size(), same)) {
        wrong_ = fmt::format("{}: the record in buffer {} was altered", how, kept.buffer);
      }
    }
    if (how[0] != 's') return;
    // Opening again changes nothing.
    const Image once(core.region().data(), core.region().data() + core.region().size());
    auto again = open_image(once);
    if (!again || std::memcmp((*again)->region().data(), once.data(), once.size()) != 0) {
      wrong_ = "opening twice differs from opening once";
    }
  }
  // Structures that were replaced later are not compared: their buffers may be others' now.
  bool shows(const Core& core, const State& state) const {
    for (const auto& [name, words] : state) {
      if (live_.count(name) == 0) continue;
      if (std::memcmp(core.buffer(name), words.data(), sizeof words) != 0) return false;
    }
    return true;
  }

  TestPool<> pool_;
  std::mt19937 random_;
  State live_;
  std::map<uint64_t, State> states_;
  std::vector<Kept> records_;
  uint64_t value_ = 0;
  uint64_t images_ = 0;
  std::optional<std::string> wrong_;
};

TEST(Atomicity, EveryCutShowsWholeTickets) {
  // Thousands of images are made and dropped: the heap keeps its pages.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  uint64_t images = 0;
  for (uint32_t seed = 1; seed <= 8; ++seed) {
    Explorer explorer(seed, std::nullopt);
    const auto wrong = explorer.run(60);
    EXPECT_FALSE(wrong.has_value()) << "seed " << seed << ": " << *wrong;
    images += explorer.images();
  }
  EXPECT_GT(images, 5000u);
}

class EverySite : public ::testing::TestWithParam<Site> {};

TEST_P(EverySite, IsNeeded) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    if (Explorer(seed, GetParam()).run(60)) return;
  }
  FAIL() << "without " << to_string(GetParam()) << " nothing was noticed in 12 runs";
}

INSTANTIATE_TEST_SUITE_P(Tickets, EverySite,
                         ::testing::Values(Site::publish_list, Site::publish_commit,
                                           Site::publish_words, Site::publish_retire,
                                           Site::log_page, Site::log_data, Site::barrier_ticket,
                                           Site::barrier_commit, Site::barrier_page));

}  // namespace
}  // namespace paste::pool
