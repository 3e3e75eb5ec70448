// Goal: the CRC is CRC32C, and may be computed in pieces. Method: the test vectors of RFC 3720
// appendix B.4, a bitwise twin, and every split of a short text.
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace paste::base {
namespace {

uint32_t bitwise(Bytes bytes) {
  uint32_t state = ~0u;
  for (std::byte b : bytes) {
    state ^= std::to_integer<uint32_t>(b);
    for (int i = 0; i < 8; ++i) state = (state >> 1) ^ (state & 1 ? 0x82F63B78u : 0u);
  }
  return ~state;
}

TEST(Crc32c, Rfc3720Vectors) {
  std::vector<std::byte> data(32, std::byte{0});
  EXPECT_EQ(crc32c(data), 0x8A9136AAu);
  data.assign(32, std::byte{0xFF});
  EXPECT_EQ(crc32c(data), 0x62A8AB43u);
  for (int i = 0; i < 32; ++i) data[static_cast<size_t>(i)] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(data), 0x46DD794Eu);
}

TEST(Crc32c, EveryLengthAndSplitEqualsTheBitwiseTwin) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7 + 3);
  for (size_t length = 0; length <= text.size(); ++length) {
    const Bytes all = as_bytes(std::string_view(text).substr(0, length));
    const uint32_t want = bitwise(all);
    ASSERT_EQ(crc32c(all), want) << length;
    const size_t cut = length / 3;
    const uint32_t state = crc32c_extend(crc32c_extend(kCrcInit, all.first(cut)), all.subspan(cut));
    ASSERT_EQ(crc32c_finish(state), want) << length;
  }
}

}  // namespace
}  // namespace paste::base
