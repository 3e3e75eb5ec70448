// Goal: errors carry code, words and errno, and PASTE_TRY hands them on unchanged.
#include "paste/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace paste {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Code::invalid, "odd number");
  return n / 2;
}

Result<int> quarter(int n) {
  PASTE_TRY_ASSIGN(const int h, half(n));
  PASTE_TRY(half(h));
  return half(h);
}

TEST(Result, TryHandsErrorsOn) {
  EXPECT_EQ(quarter(12).value(), 3);
  const auto failed = quarter(6);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::invalid);
  EXPECT_EQ(failed.error().message(), "odd number");
}

TEST(Result, MessageHasTheSystemsWords) {
  const Error error(Code::io, std::string("cannot read x"), ENOSPC);
  EXPECT_EQ(error.message(), "cannot read x: No space left on device");
  EXPECT_EQ(Error(Code::closed).message(), "closed");
}

}  // namespace
}  // namespace paste
