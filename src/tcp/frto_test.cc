// F-RTO. Method: each branch of RFC 5682 §3.1, from sequence numbers that wrap.
#include "tcp/frto.h"

#include <gtest/gtest.h>

#include "tcp/test_random.h"

namespace paste::tcp {
namespace {
using Verdict = Frto::Verdict;

TEST(Frto, SpuriousWhenOriginalsArrive) {
  for (const Seq s : kStarts) {
    Frto frto;
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 1}), Verdict::inactive);
    frto.on_timeout(s, s + 1000, false);
    EXPECT_TRUE(frto.active());
    EXPECT_EQ(frto.recovery_point(), s + 1000);
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s, .newly_sacked = true}), Verdict::undecided);
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 100}), Verdict::send_new);
    EXPECT_EQ(frto.on_ack({.una_before = s + 100, .una = s + 100}), Verdict::undecided);
    EXPECT_EQ(frto.on_ack({.una_before = s + 100, .una = s + 200, .original_delivered = true}),
              Verdict::spurious);
    EXPECT_FALSE(frto.active());
  }
}

TEST(Frto, SpuriousBySackOfAnOriginal) {
  Frto frto;
  const Seq s = kStarts[0];
  frto.on_timeout(s, s + 1000, false);
  EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 100}), Verdict::send_new);
  EXPECT_EQ(frto.on_ack({.una_before = s + 100,
                         .una = s + 100,
                         .newly_sacked = true,
                         .original_delivered = true}),
            Verdict::spurious);
}

TEST(Frto, GenuineWhenNewDataOvertakes) {
  for (const Seq s : kStarts) {
    Frto frto;
    frto.on_timeout(s, s + 1000, false);
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 100}), Verdict::send_new);
    EXPECT_EQ(frto.on_ack({.una_before = s + 100,
                           .una = s + 100,
                           .newly_sacked = true,
                           .original_delivered = true,
                           .above_recovery_point = true}),
              Verdict::genuine);
    EXPECT_FALSE(frto.active());
  }
}

TEST(Frto, NothingToLearn) {
  for (const Seq s : kStarts) {
    Frto frto;
    frto.on_timeout(s, s + 1000, false);
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 1000}), Verdict::genuine);
    frto.on_timeout(s, s + 1000, true);
    EXPECT_FALSE(frto.active()) << "a timeout within a recovery";
    frto.on_timeout(s, s, false);
    EXPECT_FALSE(frto.active());
    frto.on_timeout(s, s + 1000, false);
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 100}), Verdict::send_new);
    frto.on_no_new_data();
    EXPECT_EQ(frto.on_ack({.una_before = s, .una = s + 200}), Verdict::inactive);
  }
}

}  // namespace
}  // namespace paste::tcp
