#include "port/xdp/neighbours.h"

#include <gtest/gtest.h>

namespace paste::port {
namespace {

constexpr wire::MacAddress kOne{{2, 0, 0, 0, 0, 1}}, kTwo{{2, 0, 0, 0, 0, 2}},
    kThree{{2, 0, 0, 0, 0, 3}};

TEST(Neighbours, LearnsFromWhatArrives) {
  Neighbours neighbours;
  const tcp::Address remote = tcp::ipv4_mapped(10, 0, 0, 1);
  EXPECT_EQ(neighbours.find(remote), nullptr);
  neighbours.learn(remote, kOne);
  EXPECT_EQ(*neighbours.find(remote), kOne);
  neighbours.learn(remote, kTwo);
  EXPECT_EQ(*neighbours.find(remote), kTwo);
}

// Everybody behind a router moves with it, nobody else.
TEST(Neighbours, FollowsARouter) {
  Neighbours neighbours;
  const tcp::Address router = tcp::ipv4_mapped(10, 0, 0, 254);
  const tcp::Address far = tcp::ipv4_mapped(192, 0, 2, 1), near = tcp::ipv4_mapped(10, 0, 0, 9);
  neighbours.moved(router, kOne);
  neighbours.learn(near, kTwo);
  neighbours.learn(far, kOne);
  neighbours.moved(router, kThree);
  EXPECT_EQ(*neighbours.find(far), kThree);
  EXPECT_EQ(*neighbours.find(near), kTwo);
  neighbours.learn(near, kTwo);  // another is the last learned
  EXPECT_EQ(*neighbours.find(far), kThree);
  neighbours.moved(router, kThree);
  neighbours.moved(router, kTwo);
  EXPECT_EQ(*neighbours.find(far), kTwo);
}

}  // namespace
}  // namespace paste::port
