#include "port/xdp/xdp_spec.h"

#include <gtest/gtest.h>

namespace paste::port {
namespace {

TEST(XdpSpec, TakesItsPartsInAnyOrder) {
  const XdpSpec plain = parse_xdp_spec("eth0").value();
  EXPECT_EQ(plain.interface, "eth0");
  EXPECT_FALSE(plain.queue || plain.copy || plain.scatter);
  const XdpSpec all = parse_xdp_spec("eth0.7:copy:3:scatter").value();
  EXPECT_EQ(all.interface, "eth0.7");
  EXPECT_EQ(all.queue, 3u);
  EXPECT_TRUE(all.copy && all.scatter);
}

TEST(XdpSpec, RefusesTheRest) {
  for (const char* text : {"", ":0", "eth0:", "eth0:x", "eth0:1:2", "eth0:-1", "eth0:0x1",
                           "eth0:99999999999", "eth0:copy:", "eth0:Copy"}) {
    EXPECT_EQ(parse_xdp_spec(text).error().code(), Code::invalid) << text;
  }
}

}  // namespace
}  // namespace paste::port
