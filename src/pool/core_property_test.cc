// Random histories of buffers against a naive twin. Method: the twin counts holds in a map and
// applies the rule of deferred frees word by word: back when the ticket is durable and two barriers
// have run since every list up to it was. After each step the counts must agree; a buffer that is
// taken must be nobody's; a reopened pool holds what was claimed. RapidCheck prints the seed of a
// failure; RC_PARAMS="seed=…" repeats it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "pool/test_region.h"

namespace paste::pool {
namespace {

struct Held {
  uint32_t holds;
  Kind kind;
};
struct Freed {
  uint64_t ticket;
  BufferName name;
};

class History {
 public:
  History() {
    for (int i = 0; i < 3; ++i) words_.push_back(take(Purpose::structure));
  }

  void step(uint32_t random) {
    const uint32_t op = random % 16;
    const uint32_t pick = random / 16;
    if (op < 4) {
      take(op == 0 ? Purpose::receive : Purpose::data);
    } else if (op == 4) {
      take_zeroed();
    } else if (op == 5) {
      take(pick % 8 == 0 ? Purpose::room : Purpose::structure);
    } else if (op < 8) {
      if (const BufferName name = any(pick, Kind::data)) {
        core().hold(name);
        ++held_[name].holds;
      }
    } else if (op < 10) {
      if (const BufferName name = any(pick, Kind::data); name && unpromised(name) > 0) {
        core().release(name);
        drop(name);
      }
    } else if (op < 12) {
      const BufferName name = any(pick, pick % 2 == 0 ? Kind::data : Kind::structure);
      if (name && unpromised(name) > 0) {
        core().release_after_ticket(name);
        freed_.push_back({core().filling().value, name});
      }
    } else if (op == 12) {
      must(core().publish(pool_.word(words_[pick % 3], pick % 100), random));
      published_ = true;
    } else if (op < 15) {
      commit();
    } else if (pick % 8 == 0) {
      reopen();
    }
    compare();
  }

 private:
  Core& core() { return *pool_.core; }

  BufferName take(Purpose purpose) {
    const bool room = core().has_room(1);
    auto taken = core().take(purpose);
    if (purpose == Purpose::data) RC_ASSERT(taken.has_value() == room);
    if (!taken) return kNoBuffer;
    const bool structure = purpose == Purpose::structure || purpose == Purpose::room;
    adopt(*taken, structure ? Kind::structure : Kind::data);
    return *taken;
  }
  void take_zeroed() {
    auto taken = core().take_zeroed(Purpose::structure);
    if (!taken) return;
    for (size_t i = 0; i < 256; ++i) RC_ASSERT(*pool_.word(*taken, i) == 0u);
    adopt(*taken, Kind::structure);
    pool_.core->set_kind(*taken, Kind::structure);
    std::memset(core().buffer(*taken), 0x77, 2048);
  }
  void adopt(BufferName name, Kind kind) {
    RC_ASSERT(core().valid({name, 0, 2048}));
    RC_ASSERT(held_.count(name) == 0u);
    held_[name] = {1, kind};
  }
  void drop(BufferName name) {
    if (--held_[name].holds == 0) held_.erase(name);
  }
  // Holds that were not yet given back by release_after_ticket().
  uint32_t unpromised(BufferName name) {
    uint32_t holds = held_[name].holds;
    for (const Freed& freed : freed_) holds -= freed.name == name;
    return holds;
  }
  BufferName any(uint32_t pick, Kind kind) {
    std::vector<BufferName> names;
    for (const auto& [name, held] : held_) {
      const bool word = std::find(words_.begin(), words_.end(), name) != words_.end();
      if (held.kind == kind && !word) names.push_back(name);
    }
    return names.empty() ? kNoBuffer : names[pick % names.size()];
  }

  void commit() {
    const uint64_t ticket = core().filling().value;
    must(core().commit());
    RC_ASSERT(core().durable().value == ticket);
    RC_ASSERT(core().filling().value == ticket + 1);
    const uint64_t barriers = pool_.region->barriers();
    for (auto list = lists_.begin(); list != lists_.end();) {
      list = barriers >= list->second + 2 ? lists_.erase(list) : std::next(list);
    }
    if (published_) lists_[ticket] = barriers;
    published_ = false;
    const uint64_t oldest = lists_.empty() ? UINT64_MAX : lists_.begin()->first;
    std::vector<Freed> later;
    for (const Freed& freed : freed_) {
      if (freed.ticket < oldest) {
        drop(freed.name);
      } else {
        later.push_back(freed);
      }
    }
    freed_ = later;
  }

  // A new process: what is held is claimed again, in any order.
  void reopen() {
    auto owned = std::make_unique<FakeRegion>(kSmall);
    auto* region = owned.get();
    std::memcpy(region->data(), pool_.region->data(), kSmall);
    region->durable = region->image();
    for (const Freed& freed : freed_) drop(freed.name);
    freed_.clear();
    lists_.clear();
    published_ = false;
    pool_.core = must(Core::open(std::move(owned)));
    pool_.region = region;
    for (const auto& [name, held] : held_) {
      for (uint32_t i = 0; i < held.holds; ++i) must(core().claim(name, held.kind));
    }
    must(core().finish_recovery());
  }

  void compare() {
    uint64_t data = 0;
    uint64_t structure = 0;
    for (const auto& [name, held] : held_) {
      RC_ASSERT(core().holds(name) == held.holds);
      ++(held.kind == Kind::data ? data : structure);
    }
    const CoreStats stats = core().stats();
    RC_ASSERT(stats.buffers_data == data);
    RC_ASSERT(stats.buffers_structure == structure);
    RC_ASSERT(stats.buffers_deferred == freed_.size());
    RC_ASSERT(stats.buffers_free + data + structure == core().buffer_end() - core().first_buffer());
  }

  TestPool<> pool_;
  std::vector<BufferName> words_;  // what publish() changes; never freed
  std::map<BufferName, Held> held_;
  std::vector<Freed> freed_;
  std::map<uint64_t, uint64_t> lists_;  // ticket → barriers that had run when it was durable
  bool published_ = false;
};

TEST(CoreProperty, EqualsItsTwin) {
  const bool equal = rc::check("core equals twin", [] {
    const auto steps =
        *rc::gen::container<std::vector<uint32_t>>(400, rc::gen::inRange<uint32_t>(0, 1u << 30));
    History history;
    for (const uint32_t random : steps) history.step(random);
  });
  EXPECT_TRUE(equal);
}

}  // namespace
}  // namespace paste::pool
