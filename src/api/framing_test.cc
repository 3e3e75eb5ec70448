// Goal: framing finds the same messages however the bytes are cut into pieces.
// Method: every split of short texts into two pieces.
#include "paste/framing.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace paste {
namespace {

TEST(Framing, LinesForEverySplit) {
  const std::string text = "first\r\nsecond\n";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const Bytes all = as_bytes(text);
    const Bytes pieces[] = {all.first(cut), all.subspan(cut)};
    const auto frame = lines(ByteView(pieces));
    ASSERT_TRUE(frame && *frame);
    EXPECT_EQ((*frame)->length, 5u);
    EXPECT_EQ((*frame)->total, 7u);
  }
}

TEST(Framing, IncompleteLineWaitsAndOverlongFails) {
  const std::string part = "no end yet";
  const Bytes one[] = {as_bytes(part)};
  EXPECT_FALSE(lines(ByteView(one)).value());
  const std::string large(70'000, 'x');
  const Bytes big[] = {as_bytes(large)};
  EXPECT_EQ(lines(ByteView(big)).error().code(), Code::too_large);
}

TEST(Framing, LengthPrefixed) {
  const std::string text("\x03\0\0\0abcX", 8);
  for (size_t length = 0; length < 7; ++length) {
    const Bytes pieces[] = {as_bytes(std::string_view(text).substr(0, length))};
    EXPECT_FALSE(length_prefixed(ByteView(pieces)).value()) << length;
  }
  const Bytes pieces[] = {as_bytes(text)};
  const auto frame = length_prefixed(ByteView(pieces)).value();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->begin, 4u);
  EXPECT_EQ(frame->length, 3u);
  EXPECT_EQ(frame->total, 7u);
  const std::string huge("\xff\xff\xff\x7f", 4);
  const Bytes bad[] = {as_bytes(huge)};
  EXPECT_EQ(length_prefixed(ByteView(bad)).error().code(), Code::too_large);
}

}  // namespace
}  // namespace paste
