#include "pointwork/checkpoint/compare.h"

#include <limits>

#include "tests/checkpoint/cases.h"

namespace pointwork::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Compare : public testing::Test {
 protected:
  WeightComparison compare(const TensorMap& first, const TensorMap& second) const {
    for (const char* name : {"a.safetensors", "b.safetensors"}) fs::remove(folder_ / name);
    save_tensors(folder_ / "a.safetensors", first);
    save_tensors(folder_ / "b.safetensors", second);
    return compare_weights(WeightFiles(folder_ / "a.safetensors"),
                           WeightFiles(folder_ / "b.safetensors"));
  }
  TemporaryFolder folder_;
};

Tensor row(const std::vector<double>& values, torch::Dtype dtype = torch::kFloat32) {
  return torch::tensor(values, torch::kFloat64).to(dtype);
}

TEST_F(Compare, OfTheSameIsTheSame) {
  const TensorMap weights = {{"a", normal({3, 5}, 1, torch::kFloat32)},
                             {"b", row({kNaN, 0, -kInfinity})},
                             {"c", torch::empty({0, 4})},
                             {"d", torch::tensor(int64_t{1} << 60)}};
  const WeightComparison found = compare(weights, weights);
  EXPECT_TRUE(found.same());
  EXPECT_EQ(found.equal, 4);
  EXPECT_TRUE(compare({{"z", row({0, 1})}}, {{"z", row({-0.0, 1})}}).same());
}

TEST_F(Compare, NamesWhatOnlyOneHas) {
  const Tensor one = torch::ones({1});
  const WeightComparison found =
      compare({{"a", one}, {"b", one}, {"c", one}}, {{"b", one}, {"d", one}});
  EXPECT_EQ(found.only[0], (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(found.only[1], (std::vector<std::string>{"d"}));
  EXPECT_EQ(found.equal, 1);
  EXPECT_FALSE(found.same());
}

TEST_F(Compare, SortsByTheLargestDifference) {
  const WeightComparison found = compare({{"little", row({1, 2, 4})},
                                          {"much", row({100, 1})},
                                          {"none", row({1})},
                                          {"shape", row({1, 2})}},
                                         {{"little", row({1, 2.5, 4.25})},
                                          {"much", row({90, 1})},
                                          {"none", row({1})},
                                          {"shape", row({1})}});
  ASSERT_EQ(found.differing.size(), 3u);
  EXPECT_EQ(found.differing[0].name, "shape");
  EXPECT_FALSE(found.differing[0].compared);
  EXPECT_EQ(found.differing[0].shape[0], std::vector<int64_t>{2});
  EXPECT_EQ(found.differing[0].shape[1], std::vector<int64_t>{1});
  EXPECT_EQ(found.differing[1].name, "much");
  EXPECT_EQ(found.differing[1].largest, 10);
  EXPECT_EQ(found.differing[1].relative, 0.1);
  EXPECT_EQ(found.differing[2].name, "little");
  EXPECT_EQ(found.differing[2].largest, 0.5);
  EXPECT_EQ(found.differing[2].relative, 0.2);
  EXPECT_EQ(found.differing[2].elements, 3);
  EXPECT_EQ(found.differing[2].differing, 2);
  EXPECT_EQ(found.equal, 1);
}

TEST_F(Compare, OfAnotherDtypeIsByValue) {
  const WeightComparison found = compare(
      {{"exact", row({1, 2})}, {"rounded", row({1, 1.001})}},
      {{"exact", row({1, 2}, torch::kBFloat16)}, {"rounded", row({1, 1.001}, torch::kBFloat16)}});
  ASSERT_EQ(found.differing.size(), 2u);
  EXPECT_EQ(found.differing[0].name, "rounded");
  EXPECT_NEAR(found.differing[0].largest, 0.001, 1e-7);
  EXPECT_EQ(found.differing[1].name, "exact");
  EXPECT_EQ(found.differing[1].largest, 0);
  EXPECT_EQ(found.differing[1].dtype[0], "F32");
  EXPECT_EQ(found.differing[1].dtype[1], "BF16");
}

TEST_F(Compare, CountsWhatIsNoNumberAsInfinitelyFar) {
  for (const double odd : {kNaN, kInfinity, -kInfinity}) {
    const WeightComparison found = compare({{"a", row({1, odd})}}, {{"a", row({1, 3})}});
    ASSERT_EQ(found.differing.size(), 1u);
    EXPECT_EQ(found.differing[0].differing, 1);
    EXPECT_GT(found.differing[0].largest, 1e300);
    EXPECT_GT(found.differing[0].relative, 1e300);
  }
}

// More than one chunk, the difference in the last element.
TEST_F(Compare, SeesTheLastElement) {
  Tensor first = torch::zeros({3, 1 << 20}, torch::kUInt8), second = first.clone();
  second.view({-1})[-1] = 7;
  const WeightComparison found = compare({{"a", first}}, {{"a", second}});
  ASSERT_EQ(found.differing.size(), 1u);
  EXPECT_EQ(found.differing[0].differing, 1);
  EXPECT_EQ(found.differing[0].largest, 7);
}

}  // namespace
}  // namespace pointwork::test
