// Two drivers on two cards and two links, with random cards. Method: each driver only acts when the
// card wakes it. Invariants checked: no wake-up is lost (both finish), each token completes exactly
// once, memory that the card has given back may change, every frame is accounted for, and equal
// seeds run alike.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>

#include "port/sim/nic.h"
#include "port/sim/swarm.h"
#include "port/sim/test_link.h"

namespace paste::sim {
namespace {

using std::chrono::seconds;

constexpr uint32_t kToSend = 120;

// Sends kToSend frames from a few buffers, which it reuses as soon as their completions come.
class Driver final : public Actor {
 public:
  Driver(World& world, Nic& nic, Prng prng) : nic_(nic), prng_(prng) {
    for (size_t i = 0; i < buffers_.size(); ++i) free_.push_back(i);
    world.wake(*this, world.now());
  }

  void act(tcp::Instant) override {
    std::array<uint64_t, 8> tokens{};
    const size_t done = nic_.completions(std::span(tokens).first(1 + prng_.below(8)));
    for (size_t i = 0; i < done; ++i) {
      const size_t buffer = tokens.at(i) % buffers_.size();
      ++completions.at(tokens.at(i) / buffers_.size());
      std::fill(buffers_.at(buffer).begin(), buffers_.at(buffer).end(), std::byte{0xee});
      free_.push_back(buffer);
    }
    std::array<Frame, 8> frames;
    const size_t count = nic_.receive(frames);
    for (size_t i = 0; i < count; ++i) received.push_back(number_of(frames.at(i)));
    while (sent < kToSend && !free_.empty() && transmit(free_.back())) free_.pop_back();
    nic_.arm(*this);
  }
  [[nodiscard]] bool finished() const { return sent == kToSend && free_.size() == buffers_.size(); }

  uint32_t sent = 0;
  std::vector<int> completions = std::vector<int>(kToSend);
  std::vector<uint32_t> received;

 private:
  bool transmit(size_t buffer) {
    Frame& bytes = buffers_.at(buffer);
    bytes = numbered(sent, 60 + prng_.below(500));
    const size_t split = prng_.below(bytes.size() + 1);
    const std::array<Bytes, 2> pieces = {Bytes(bytes).first(split), Bytes(bytes).subspan(split)};
    if (!nic_.transmit(sent * buffers_.size() + buffer, pieces)) return false;
    ++sent;
    return true;
  }

  Nic& nic_;
  Prng prng_;
  std::array<Frame, 10> buffers_;
  std::vector<size_t> free_;
};

NicOptions random_card(Prng prng) {
  constexpr uint32_t kHalf = kPpm / 2;
  NicOptions o;
  o.tx_ring = static_cast<uint32_t>(skewed(prng, 16));
  o.rx_ring = static_cast<uint32_t>(skewed(prng, 64));
  o.tx_burst = static_cast<uint32_t>(skewed(prng, 16));
  o.rx_burst = static_cast<uint32_t>(skewed(prng, 16));
  o.tx_pause = Duration(static_cast<int64_t>(skewed(prng, 100'000)));
  if (prng.chance(kHalf)) o.tx_refuse_ppm = static_cast<uint32_t>(skewed(prng, 500'000));
  if (prng.chance(kHalf))
    o.completion_delay = Duration(static_cast<int64_t>(skewed(prng, 1 << 20)));
  if (prng.chance(kHalf))
    o.completion_jitter = Duration(static_cast<int64_t>(skewed(prng, 1 << 20)));
  o.completions_shuffled = prng.chance(kHalf);
  if (prng.chance(kHalf)) o.wakeup_delay = Duration(static_cast<int64_t>(skewed(prng, 1 << 16)));
  return o;
}

struct Side {
  Side(World& world, const std::string& name, Link& out)
      : nic(world, name + " card", out, random_card(world.prng().fork(name + " options"))),
        driver(world, nic, world.prng().fork(name + " driver")) {}
  void check(const Link& in) const {
    const Result<void> checked = nic.check();
    ASSERT_TRUE(checked) << checked.error().message();
    for (const int count : driver.completions) ASSERT_EQ(count, 1);
    EXPECT_EQ(nic.counters().rx_arrived, in.counters().delivered);
    EXPECT_EQ(driver.received.size(), nic.counters().rx_taken);
    EXPECT_EQ(nic.rx_in_ring(), 0u);
  }
  Nic nic;
  Driver driver;
};

uint64_t run(uint64_t seed) {
  World world(seed);
  Link there(world, "there", swarm_link(world.prng().fork("there options")));
  Link back(world, "back", swarm_link(world.prng().fork("back options")));
  Side a(world, "a", there);
  Side b(world, "b", back);
  there.connect(b.nic);
  back.connect(a.nic);
  const auto quiet = [&] {
    return a.driver.finished() && b.driver.finished() && there.idle() && back.idle() &&
           a.nic.rx_in_ring() + b.nic.rx_in_ring() == 0;
  };
  EXPECT_TRUE(world.run_until(quiet, world.now() + seconds(60)))
      << "stuck: " << to_string(there.options());
  a.check(back);
  b.check(there);
  EXPECT_TRUE(there.check() && back.check());
  if (::testing::Test::HasFailure()) {
    std::printf("SEED=%llu\n%s", static_cast<unsigned long long>(seed),
                world.last_events().to_string().c_str());
  }
  return world.trace_hash();
}

TEST(NicProperty, DriversFinishOnWakeUpsAlone) {
  for (uint64_t seed = 1; seed <= 300 && !HasFailure(); ++seed) {
    const uint64_t hash = run(seed);
    if (seed % 20 == 0) {
      EXPECT_EQ(run(seed), hash) << "SEED=" << seed;
    }
  }
}

}  // namespace
}  // namespace paste::sim
