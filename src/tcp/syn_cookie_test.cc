// Goal: a cookie gives back what it was made of, for 64 to 128 s, to its own tuple only; challenges
// are limited without telling. Method: round trips over all options, forged and late cookies.
#include "tcp/syn_cookie.h"

#include <set>

#include "tcp/challenge.h"
#include "tcp/test_random.h"

namespace paste::tcp {
namespace {

constexpr SipKey kKey{0x1234, 0x5678};
constexpr uint64_t kSecond = 1'000'000'000;

FourTuple tuple(uint16_t port) {
  return {ipv4_mapped(10, 0, 0, 1), ipv4_mapped(10, 0, 0, 2), 80, port};
}

TEST(SynCookie, RoundTripAndExpiry) {
  for (uint32_t start : kStartNumbers) {
    for (const uint16_t mss : {uint16_t{1}, uint16_t{64}, uint16_t{536}, uint16_t{1219},
                               uint16_t{1220}, uint16_t{1459}, uint16_t{9000}, uint16_t{65535}}) {
      const Instant made{1000 * 64 * kSecond + 5};
      const Seq cookie = make_cookie(kKey, tuple(7), Seq{start}, mss, made);
      for (uint64_t age : {0, 1, 63, 64, 127}) {
        EXPECT_EQ(verify_cookie(kKey, tuple(7), Seq{start}, cookie, {made.ns + age * kSecond}),
                  cookie_mss(mss));
      }
      for (uint64_t age : {128, 200, 64 * 8192, 64 * 8193}) {
        EXPECT_FALSE(verify_cookie(kKey, tuple(7), Seq{start}, cookie, {made.ns + age * kSecond}));
      }
      EXPECT_FALSE(verify_cookie(kKey, tuple(7), Seq{start}, cookie, {made.ns - 6 * kSecond}));
      EXPECT_FALSE(verify_cookie(kKey, tuple(8), Seq{start}, cookie, made));
      EXPECT_FALSE(verify_cookie(kKey, tuple(7), Seq{start} + 1, cookie, made));
      EXPECT_FALSE(verify_cookie({1, 1}, tuple(7), Seq{start}, cookie, made));
    }
  }
  EXPECT_EQ(cookie_mss(1459), 1440);
  EXPECT_EQ(cookie_mss(10), 64);
}

TEST(SynCookie, ForgedOnesFail) {
  TestRandom random(1);
  const Instant now{77 * 64 * kSecond};
  for (int i = 0; i < 200'000; ++i) {
    const Seq guess{static_cast<uint32_t>(random.word())};
    ASSERT_FALSE(verify_cookie(kKey, tuple(7), Seq{9}, guess, now));
  }
}

TEST(SynCookie, OptionsInTheTimestamp) {
  for (uint32_t now : {0u, 31u, 63u, 64u, 1000u, 0xffffffffu}) {
    for (uint32_t bits = 0; bits < 64; ++bits) {
      CookieOptions options{std::nullopt, (bits & 16) != 0, (bits & 32) != 0};
      if ((bits & 15) != 15) options.shift = static_cast<uint8_t>(bits & 15);
      const uint32_t tsval = cookie_timestamp(now, options);
      EXPECT_EQ(options_of(tsval), options);
      EXPECT_LT(now - tsval, 64u);
    }
  }
}

TEST(Challenge, ResetAndAckBounds) {
  for (uint32_t start : kStartNumbers) {
    const Seq nxt{start};
    EXPECT_EQ(admit_reset(nxt, nxt, 1000), Admit::accept);
    EXPECT_EQ(admit_reset(nxt, nxt, 0), Admit::accept);
    EXPECT_EQ(admit_reset(nxt + 1, nxt, 1000), Admit::challenge);
    EXPECT_EQ(admit_reset(nxt + 999, nxt, 1000), Admit::challenge);
    EXPECT_EQ(admit_reset(nxt + 1000, nxt, 1000), Admit::drop);
    EXPECT_EQ(admit_reset(nxt - 1, nxt, 1000), Admit::drop);
    const AckBounds bounds{nxt, nxt + 500, 300};
    EXPECT_EQ(admit_ack(nxt + 500, bounds), Admit::accept);
    EXPECT_EQ(admit_ack(nxt + 501, bounds), Admit::challenge);
    EXPECT_EQ(admit_ack(nxt - 300, bounds), Admit::accept);
    EXPECT_EQ(admit_ack(nxt - 301, bounds), Admit::challenge);
  }
  EXPECT_EQ(admit_syn(), Admit::challenge);
}

TEST(Challenge, LimitsAreRandomAndEachConnectionHasItsOwn) {
  ChallengeLimiter limiter(100);
  TestRandom random(3);
  std::set<int> budgets;
  for (uint64_t second = 10; second < 60; ++second) {
    const uint64_t word = random.word();
    int allowed = 0;
    for (int i = 0; i < 1000; ++i) {
      ChallengeState fresh;
      allowed += limiter.allow({second * kSecond}, word, fresh) ? 1 : 0;
    }
    EXPECT_GE(allowed, 50);
    EXPECT_LT(allowed, 150);
    budgets.insert(allowed);
  }
  EXPECT_GT(budgets.size(), 20u);
  ChallengeState one;
  const uint64_t start = 100 * kSecond;
  EXPECT_TRUE(limiter.allow({start}, 1, one));
  EXPECT_FALSE(limiter.allow({start + kSecond / 2}, 1, one));
  EXPECT_TRUE(limiter.allow({start + 2 * kSecond}, 1, one));
  EXPECT_GT(limiter.refused(), 0u);
}

}  // namespace
}  // namespace paste::tcp
