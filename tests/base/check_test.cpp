#include "pointwork/base/check.h"

#include <gtest/gtest.h>

namespace pointwork::test {
namespace {

TEST(Check, JoinsWhatCanBeStreamed) {
  EXPECT_EQ(concat("x has ", 3, " rows, ", 0.5, std::string(" each")), "x has 3 rows, 0.5 each");
}

TEST(Check, ThrowsTheJoinedPartsUnlessTheConditionHolds) {
  EXPECT_NO_THROW(check(true, "never seen"));
  try {
    check(1 > 2, "[op] x must be [T, D] but has ", 3, " sizes");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[op] x must be [T, D] but has 3 sizes");
  }
}

TEST(Check, WrongUseIsAnErrorThatCanBeToldApart) {
  EXPECT_THROW(throw UsageError("--x"), Error);
  EXPECT_THROW(throw UsageError("--x"), UsageError);
  try {
    fail("plain");
  } catch (const UsageError&) {
    FAIL() << "a plain error was taken for wrong use";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "plain");
  }
}

}  // namespace
}  // namespace pointwork::test
