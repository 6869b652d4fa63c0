#include "pointwork/base/nearest.h"

#include <gtest/gtest.h>

namespace pointwork::test {
namespace {

const std::vector<std::string> kKeys = {"steps", "tokens", "flops", "batch_size", "learning_rate"};

TEST(Nearest, FindsOneInsertionDeletionChangeOrTransposition) {
  for (const char* wrong : {"stepss", "step", "stebs", "setps", "stesp"})
    EXPECT_EQ(nearest(wrong, kKeys), "steps") << wrong;
  EXPECT_EQ(nearest("batchsize", kKeys), "batch_size");
  EXPECT_EQ(nearest("learning-rate", kKeys), "learning_rate");
  EXPECT_EQ(nearest("tokens", kKeys), "tokens");
}

TEST(Nearest, AllowsAThirdOfTheLengthAndNoMore) {
  EXPECT_EQ(nearest("leXrnXngXrXte", kKeys), "learning_rate");  // 4 of 13
  EXPECT_EQ(nearest("leXrnXngXrXtX", kKeys), "");               // 5 of 13
  EXPECT_EQ(nearest("xteps", {"steps"}), "steps");              // 1 of 5
  EXPECT_EQ(nearest("xxeps", {"steps"}), "");                   // 2 of 5
}

TEST(Nearest, AllowsOneEditOfAShortName) {
  EXPECT_EQ(nearest("a", {"b"}), "b");
  EXPECT_EQ(nearest("ab", {"ba"}), "ba");
  EXPECT_EQ(nearest("ab", {"cd"}), "");
  EXPECT_EQ(nearest("", {"x"}), "x");
  EXPECT_EQ(nearest("", {"xy"}), "");
}

TEST(Nearest, PrefersTheNearestAndAmongEqualsTheFirst) {
  EXPECT_EQ(nearest("routes", {"rout", "routed", "route"}), "routed");
  EXPECT_EQ(nearest("routes", {"rout", "route", "routed"}), "route");
}

TEST(Nearest, NothingIsNearWhereThereIsNothing) {
  EXPECT_EQ(nearest("steps", {}), "");
  EXPECT_EQ(did_you_mean("steps", {}), "");
  EXPECT_EQ(did_you_mean("stpes", kKeys), "; did you mean 'steps'?");
}

TEST(Nearest, LongNamesCostLittle) {
  const std::string endless(1'000'000, 'a');
  const std::vector<std::string> candidates(20, endless);
  EXPECT_EQ(nearest(endless, candidates), "");
  EXPECT_EQ(nearest("steps", candidates), "");
}

}  // namespace
}  // namespace pointwork::test
