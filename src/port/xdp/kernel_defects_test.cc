#include "port/xdp/kernel_defects.h"

#include <gtest/gtest.h>

namespace paste::port {
namespace {

bool aliases(std::string_view release) {
  for (const KernelDefect& defect : known_defects(release)) {
    if (defect.above_4_gib) return true;
  }
  return false;
}

TEST(KernelDefects, AreThoseOfTheRelease) {
  for (const char* broken : {"5.15.0-100-generic", "6.1.0-28-amd64", "6.1.131", "6.6.84-rt1",
                             "6.7.12", "6.11.0", "6.12.20", "6.13.8", "6.13"}) {
    EXPECT_TRUE(aliases(broken)) << broken;
  }
  for (const char* whole : {"6.1.132", "6.1.200-foo", "6.6.85", "6.12.21+deb13-amd64", "6.13.9",
                            "6.14.0", "6.18.44-fc", "7.3.4+deb13-cloud-amd64"}) {
    EXPECT_FALSE(aliases(whole)) << whole;
  }
  EXPECT_EQ(known_defects("6.16.3").size(), 1u);
  EXPECT_EQ(known_defects("6.18.44-fc-v669").size(), 0u);
  EXPECT_EQ(known_defects("4.19.0-27-amd64").size(), 2u);
  for (const char* odd : {"", "linux", "6", "x.y.z"})
    EXPECT_TRUE(known_defects(odd).empty()) << odd;
}

}  // namespace
}  // namespace paste::port
