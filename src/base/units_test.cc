// Goal: sizes and durations mean what people write, and nonsense is refused in words.
// Method: tables.
#include "paste/units.h"

#include <gtest/gtest.h>

namespace paste {
namespace {

TEST(Units, Sizes) {
  const std::pair<const char*, uint64_t> cases[] = {{"0", 0},
                                                    {"4096", 4096},
                                                    {"1KiB", 1024},
                                                    {"2GiB", uint64_t{2} << 30},
                                                    {"1.5GiB", 3u << 29},
                                                    {"10MB", 10'000'000},
                                                    {"64 MiB", 64u << 20},
                                                    {"1TiB", uint64_t{1} << 40}};
  for (const auto& [text, want] : cases) {
    const auto got = parse_size(text);
    ASSERT_TRUE(got) << text;
    EXPECT_EQ(*got, want) << text;
  }
}

TEST(Units, SizesRefused) {
  for (const char* text : {"", "x", "-1", "1XiB", "GiB", "1e400", "99999999999TiB", "1 2", "nan"}) {
    const auto got = parse_size(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().code(), Code::invalid);
    EXPECT_NE(got.error().message().find("such as 2GiB"), std::string::npos);
  }
}

TEST(Units, Durations) {
  const std::pair<const char*, int64_t> cases[] = {{"0", 0},
                                                   {"10us", 10'000},
                                                   {"1.5ms", 1'500'000},
                                                   {"30s", 30'000'000'000},
                                                   {"5m", 300'000'000'000},
                                                   {"7ns", 7},
                                                   {"2h", 7'200'000'000'000}};
  for (const auto& [text, want] : cases) {
    const auto got = parse_duration(text);
    ASSERT_TRUE(got) << text;
    EXPECT_EQ(got->count(), want) << text;
  }
}

TEST(Units, DurationsRefused) {
  for (const char* text : {"", "10", "-1s", "1 fortnight", "s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Units, Formats) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(uint64_t{2} << 30), "2 GiB");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_duration(Duration(10'000)), "10 us");
  EXPECT_EQ(format_duration(Duration(1'234'567)), "1.23 ms");
}

}  // namespace
}  // namespace paste
