// Goal: the tables of TIME-WAIT and of half-open connections are bounded and expire in order.
// Method: the reuse rule as a table; random calls against a map; a peer that never answers.
#include "tcp/time_wait.h"

#include <deque>
#include <vector>

#include "tcp/syn_queue.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

FourTuple tuple(uint32_t n) {
  return {ipv4_mapped(10, 0, 0, 1), ipv4_mapped(10, 0, static_cast<uint8_t>(n >> 16), 2), 80,
          static_cast<uint16_t>(n)};
}

TEST(TimeWait, ReuseRule) {
  for (uint32_t start : kStartNumbers) {
    const Seq nxt{start};
    TimeWaitEntry with{.tuple = tuple(1), .rcv_nxt = nxt, .ts_recent = 50, .timestamps = true};
    EXPECT_TRUE(may_reuse(with, nxt - 1000, 51));
    EXPECT_FALSE(may_reuse(with, nxt - 1000, 50));
    EXPECT_TRUE(may_reuse(with, nxt, 50));
    EXPECT_FALSE(may_reuse(with, nxt + 1000, 49));
    EXPECT_TRUE(may_reuse(with, nxt, std::nullopt));
    EXPECT_FALSE(may_reuse(with, nxt - 1, std::nullopt));
    TimeWaitEntry without{.tuple = tuple(1), .rcv_nxt = nxt};
    EXPECT_TRUE(may_reuse(without, nxt - 1000, 1));
    EXPECT_TRUE(may_reuse(without, nxt + 1, std::nullopt));
    EXPECT_FALSE(may_reuse(without, nxt - 1, std::nullopt));
  }
}

TEST(TimeWait, EqualsAQueueInOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TestRandom random(seed);
    TimeWait table(16, {seed, 2});
    std::deque<std::pair<uint32_t, Instant>> model;
    const auto forget = [&](uint32_t n) {
      return std::erase_if(model, [n](const auto& e) { return e.first == n; }) > 0;
    };
    uint64_t dropped = 0;
    Instant now{1};
    for (int step = 0; step < 3000; ++step) {
      now = now + std::chrono::milliseconds(random.below(6000));
      const uint32_t n = random.below(40);
      switch (random.below(4)) {
        case 0:
        case 1:
          table.insert({.tuple = tuple(n), .snd_nxt = Seq{n}}, now);
          forget(n);
          if (model.size() == 16) {
            model.pop_front();
            ++dropped;
          }
          model.emplace_back(n, now + TimeWait::kTwoMsl);
          break;
        case 2:
          if (random.below(2) == 0) {
            EXPECT_EQ(table.erase(tuple(n)), forget(n));
          } else {
            table.restart(tuple(n), now);
            if (forget(n)) model.emplace_back(n, now + TimeWait::kTwoMsl);
          }
          break;
        default: {
          uint32_t expired = 0;
          while (!model.empty() && model.front().second <= now) {
            model.pop_front();
            ++expired;
          }
          ASSERT_EQ(table.expire(now), expired);
        }
      }
      ASSERT_EQ(table.size(), model.size());
      ASSERT_EQ(table.dropped(), dropped);
      ASSERT_EQ(table.next_deadline(), model.empty() ? kNever : model.front().second);
      for (const auto& [k, expires] : model) {
        const TimeWaitEntry* entry = table.find(tuple(k));
        ASSERT_TRUE(entry != nullptr && entry->expires == expires && entry->snd_nxt == Seq{k});
      }
    }
  }
}

TEST(SynQueue, FiveRetransmissionsThenNothing) {
  SynQueue queue(4, {1, 2});
  ASSERT_TRUE(queue.insert({.tuple = tuple(1)}, Instant{0}));
  std::vector<uint64_t> sent;
  uint64_t gone = 0;
  while (queue.size() > 0) {
    const Instant now = queue.next_deadline();
    queue.advance(
        now, [&](const SynEntry&) { sent.push_back(now.ns / 1'000'000'000); },
        [&](const SynEntry&) { gone = now.ns / 1'000'000'000; });
  }
  EXPECT_EQ(sent, (std::vector<uint64_t>{1, 3, 7, 15, 31}));
  EXPECT_EQ(gone, 63u);
  EXPECT_EQ(queue.next_deadline(), kNever);
}

TEST(SynQueue, OverflowsAndGivesEntriesBack) {
  SynQueue queue(100, {1, 2});
  for (uint32_t n = 0; n < 100; ++n) {
    ASSERT_TRUE(queue.insert({.tuple = tuple(n), .irs = Seq{n}}, Instant{n}));
  }
  EXPECT_FALSE(queue.insert({.tuple = tuple(100)}, Instant{100}));
  EXPECT_EQ(queue.overflowed(), 1u);
  // Half of them are resent once, even after a long pause.
  int resent = 0;
  const Instant late{1'000'000'049};
  queue.advance(
      late, [&](const SynEntry&) { ++resent; }, [](const SynEntry&) { FAIL(); });
  EXPECT_EQ(resent, 50);
  queue.advance(
      late, [&](const SynEntry&) { ++resent; }, [](const SynEntry&) { FAIL(); });
  EXPECT_EQ(resent, 50);
  for (uint32_t n = 0; n < 100; ++n) {
    ASSERT_NE(queue.find(tuple(n)), nullptr);
    const auto entry = queue.take(tuple(n));
    ASSERT_TRUE(entry && entry->irs == Seq{n});
    EXPECT_EQ(entry->sent, n < 50 ? 2 : 1);
    EXPECT_FALSE(queue.take(tuple(n)));
  }
  EXPECT_EQ(queue.size(), 0u);
  EXPECT_EQ(queue.next_deadline(), kNever);
  EXPECT_TRUE(queue.insert({.tuple = tuple(100)}, Instant{100}));
}

}  // namespace
}  // namespace paste::tcp
