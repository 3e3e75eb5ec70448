// Goal: each timer fires once, never early and at the first advance() past its tick; the wheel is
// awake in time. Method: random calls against a map of deadlines, with jumps from microseconds to
// days.
#include "tcp/timer_wheel.h"

#include <map>
#include <vector>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

constexpr uint64_t kTick = 1 << 20;
constexpr uint64_t kDay = uint64_t{24} * 3600 * 1'000'000'000;

uint64_t rounded(uint64_t ns) { return (ns + kTick - 1) / kTick * kTick; }

TEST(TimerWheel, EqualsASortedList) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    TestRandom random(seed);
    const uint64_t spans[] = {kTick / 2, 64 * kTick, 5000 * kTick, kDay / 24, 40 * kDay};
    Instant now{random.word() >> (2 + random.below(40))};
    TimerWheel wheel(50, now);
    std::map<uint32_t, uint64_t> model;
    for (int step = 0; step < 2000; ++step) {
      const uint32_t id = random.below(50);
      const uint64_t span = random.word() % spans[random.below(5)];
      switch (random.below(4)) {
        case 0:
        case 1:
          wheel.schedule(id, now + Duration(static_cast<int64_t>(span)));
          model[id] = std::max(rounded(now.ns + span), now.ns / kTick * kTick);
          break;
        case 2:
          wheel.cancel(id);
          model.erase(id);
          break;
        default: {
          now.ns += span;
          uint64_t last = 0;
          const auto fire = [&](uint32_t fired) {
            ASSERT_TRUE(model.contains(fired));
            EXPECT_LE(model[fired], now.ns);
            EXPECT_GE(model[fired], last);
            last = model[fired];
            model.erase(fired);
          };
          wheel.advance(now, fire);
          for (const auto& [left, deadline] : model) ASSERT_GT(deadline, now.ns);
        }
      }
      uint64_t first = UINT64_MAX;
      for (const auto& [left, deadline] : model) {
        first = std::min(first, deadline);
        ASSERT_TRUE(wheel.scheduled(left));
      }
      ASSERT_LE(wheel.next_deadline().ns, first);
      ASSERT_EQ(wheel.next_deadline() == kNever, model.empty());
    }
  }
}

TEST(TimerWheel, SleepingUntilNextDeadlineReachesEveryTimer) {
  TimerWheel wheel(3, Instant{0});
  wheel.schedule(0, Instant{kDay});
  wheel.schedule(1, Instant{100 * kDay});
  wheel.schedule(2, Instant{kNever.ns - 1});
  std::vector<uint32_t> fired;
  int wakes = 0;
  while (fired.size() < 2 && ++wakes < 100) {
    wheel.advance(wheel.next_deadline(), [&](uint32_t id) { fired.push_back(id); });
  }
  EXPECT_EQ(fired, (std::vector<uint32_t>{0, 1}));
  EXPECT_LE(wakes, 20);
  wheel.schedule(2, kNever);
  EXPECT_FALSE(wheel.scheduled(2));
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

TEST(TimerWheel, ACallbackMayScheduleAndCancel) {
  TimerWheel wheel(3, Instant{0});
  for (uint32_t id = 0; id < 3; ++id) wheel.schedule(id, Instant{5 * kTick});
  int fired = 0;
  const auto fire = [&](uint32_t id) {
    ++fired;
    wheel.schedule(id, Instant{0});  // in the past: not in this call again
    wheel.cancel(2);
  };
  EXPECT_EQ(wheel.advance(Instant{1000 * kTick}, fire), 2u);
  EXPECT_EQ(wheel.advance(Instant{1001 * kTick}, [](uint32_t) {}), 2u);
  EXPECT_EQ(fired, 2);
}

}  // namespace
}  // namespace paste::tcp
