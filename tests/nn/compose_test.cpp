#include "pointwork/nn/compose.h"

#include <gtest/gtest.h>

#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

// Adds factor · x + shift, and remembers how it was called.
class Affine : public Branch {
 public:
  struct Call {
    std::string name;
    int64_t round, site;
    bool operator==(const Call&) const = default;
  };

  Affine(std::string name, double factor, double shift, std::vector<Call>* calls, int64_t sites = 1)
      : name_(std::move(name)), shift_(shift), calls_(calls), sites_(sites) {
    factor_ = register_parameter("factor", torch::full({}, factor, torch::kFloat64));
  }
  using Branch::forward;
  Output forward(const Tensor& x, const State&, Context& ctx) override {
    calls_->push_back({name_, ctx.round, site_ + ctx.site_offset});
    Route route;
    route.name = name_;
    route.round = ctx.round;
    return {factor_ * x + shift_, {route}, {}};
  }
  double kept_bytes(const Extent& extent, double element) const override {
    return extent.total() * element * static_cast<double>(sites_);
  }
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override {
    parts.push_back({name, 10 * extent.total(), 1, extent.share(), 1});
  }
  int64_t number_sites(int64_t first) override {
    site_ = first;
    return first + sites_;
  }
  double cached_values_per_token(int64_t) const override { return static_cast<double>(sites_); }

 private:
  std::string name_;
  double shift_;
  std::vector<Call>* calls_;
  int64_t sites_, site_ = 0;
  Tensor factor_;
};

using Calls = std::vector<Affine::Call>;

class Compose : public ::testing::Test {
 protected:
  BranchPtr affine(const std::string& name, double factor, double shift, int64_t sites = 1) {
    return std::make_shared<Affine>(name, factor, shift, &calls_, sites);
  }
  static Tensor x() { return normal({3, 2}, 1); }

  // Both ways of running it, which share routes and calls.
  void expect_delta(Branch& branch, const Tensor& want, const std::vector<std::string>& names) {
    Context ctx{.rows = uniform_rows(1, 3, torch::kCPU)};
    for (const bool add : {false, true}) {
      calls_.clear();
      const Output out = add ? branch.add_to(x(), ctx) : branch.forward(x(), ctx);
      expect_same(add ? "add_to" : "forward", out.delta, add ? x() + want : want, 100);
      std::vector<std::string> routes;
      for (const Route& route : out.routes) routes.push_back(route.name);
      EXPECT_EQ(routes, names);
      EXPECT_EQ(ctx.round, 0);
      EXPECT_EQ(ctx.site_offset, 0);
    }
  }

  Calls calls_;
};

TEST_F(Compose, EachChildOfAChainSeesTheSumSoFar) {
  Chain chain({{"a", affine("a", 2, 1)}, {"b", affine("b", -3, 2)}, {"c", affine("c", 0.5, 0)}});
  const Tensor a = 2 * x() + 1, b = -3 * (x() + a) + 2, c = 0.5 * (x() + a + b);
  expect_delta(chain, a + b + c, {"a", "b", "c"});
}

TEST_F(Compose, EveryParallelChildSeesTheSameRows) {
  Parallel parallel({{"a", affine("a", 2, 1)}, {"b", affine("b", -3, 2)}});
  expect_delta(parallel, (2 * x() + 1) + (-3 * x() + 2), {"a", "b"});
}

TEST_F(Compose, ParallelChildrenMayShareANorm) {
  const auto norm = std::make_shared<Norm>(
      2, ModelConfig{.norm = NormKind::rmsnorm, .norm_eps = 0.25, .norm_bias = false});
  norm->to(torch::kFloat64);
  Parallel parallel({{"a", affine("a", 2, 1)}, {"b", affine("b", -3, 2)}}, norm);
  const Tensor read = x() / (x().square().mean(1, true) + 0.25).sqrt();
  expect_delta(parallel, (2 * read + 1) + (-3 * read + 2), {"a", "b"});
  Extent extent{.rows = {3, 5}, .root_rows = 8};
  FlopParts parts;
  parallel.flops(extent, "x", parts);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].name, "x.norm");
  EXPECT_EQ(parts[0].parameters, 2);
  EXPECT_EQ(parallel.kept_bytes(extent, 4), 8 * 2 * 4 + 2 * 8 * 4);
}

TEST_F(Compose, ARepeatIsAChainOfItself) {
  Repeat thrice(affine("a", 2, 1), 3);
  thrice.number_sites(0);
  Tensor stream = x();
  for (int i = 0; i < 3; ++i) stream = stream + 2 * stream + 1;
  expect_delta(thrice, stream - x(), {"a", "a", "a"});
  Repeat once(affine("a", 2, 1), 1);
  once.number_sites(0);
  expect_delta(once, 2 * x() + 1, {"a"});
}

TEST_F(Compose, OneChildIsItself) {
  Chain chain({{"a", affine("a", 2, 1)}});
  expect_delta(chain, 2 * x() + 1, {"a"});
  Parallel parallel({{"a", affine("a", 2, 1)}});
  expect_delta(parallel, 2 * x() + 1, {"a"});
}

// Rounds share weights, not cache sites; nested ones count as one mixed-radix number.
TEST_F(Compose, RoundsAndSitesAreNumberedThroughNestedRepeats) {
  const auto inner = std::make_shared<Repeat>(affine("b", 0.1, 0, /*sites=*/2), 3);
  const auto body = std::make_shared<Chain>(
      std::vector<std::pair<std::string, BranchPtr>>{{"a", affine("a", 0.1, 0)}, {"b", inner}});
  Repeat outer(body, 2);
  EXPECT_EQ(outer.number_sites(5), 5 + 2 * (1 + 3 * 2));
  Context ctx{.rows = uniform_rows(1, 3, torch::kCPU)};
  const Calls want = {{"a", 0, 5},  {"b", 0, 6},  {"b", 1, 8},  {"b", 2, 10},
                      {"a", 1, 12}, {"b", 3, 13}, {"b", 4, 15}, {"b", 5, 17}};
  outer.forward(x(), ctx);
  EXPECT_EQ(calls_, want);
  calls_.clear();
  outer.add_to(x(), ctx);
  EXPECT_EQ(calls_, want);
  EXPECT_EQ(outer.cached_values_per_token(0), 2 * (1 + 3 * 2));
  EXPECT_EQ(outer.parameters().size(), 2u);
}

TEST_F(Compose, GradientsReachEveryChildOverEveryPath) {
  // The same sentence written out: repeat(2, chain(a, parallel(b, a))) with one factor for all.
  const auto run = [](bool add, const Tensor& in, const Tensor& factor) {
    Tensor stream = in;
    for (int round = 0; round < 2; ++round) {
      stream = stream + factor * stream + 1;
      stream = stream + (factor * stream + 2) + (factor * stream + 1);
    }
    return add ? stream : stream - in;
  };
  const auto make = [&] {
    const auto side = std::make_shared<Parallel>(std::vector<std::pair<std::string, BranchPtr>>{
        {"b", affine("b", 0.3, 2)}, {"a", affine("a", 0.3, 1)}});
    const auto body = std::make_shared<Chain>(
        std::vector<std::pair<std::string, BranchPtr>>{{"a", affine("a", 0.3, 1)}, {"side", side}});
    return std::make_shared<Repeat>(body, 2);
  };
  for (const bool add : {false, true}) {
    const auto branch = make();
    branch->number_sites(0);
    Context ctx{.rows = uniform_rows(1, 3, torch::kCPU)};
    const Tensor in = x().set_requires_grad(true), same = x().set_requires_grad(true);
    const Tensor factor = torch::full({}, 0.3, torch::kFloat64).set_requires_grad(true);
    (add ? branch->add_to(in, ctx) : branch->forward(in, ctx)).delta.backward(normal({3, 2}, 2));
    run(add, same, factor).backward(normal({3, 2}, 2));
    expect_same("d_x", in.grad(), same.grad(), 100);
    Tensor sum = torch::zeros({}, torch::kFloat64);
    for (const Tensor& p : branch->parameters()) sum += p.grad();
    expect_same("d_factor", sum, factor.grad(), 100);
  }
}

TEST_F(Compose, CostsAddUp) {
  Extent extent{.rows = {3, 5}, .root_rows = 16};
  const auto two = [&] {
    return std::vector<std::pair<std::string, BranchPtr>>{{"a", affine("a", 1, 0)},
                                                          {"b", affine("b", 1, 0, 4)}};
  };
  const auto chain = std::make_shared<Chain>(two());
  const Parallel parallel(two());
  const Repeat repeat(chain, 3);
  const auto parts_of = [&](const Branch& branch) {
    FlopParts parts;
    branch.flops(extent, "x", parts);
    return parts;
  };
  for (const Branch* branch :
       {static_cast<const Branch*>(chain.get()), static_cast<const Branch*>(&parallel)}) {
    const FlopParts parts = parts_of(*branch);
    ASSERT_EQ(parts.size(), 2u);
    EXPECT_EQ(parts[0].name, "x.a");
    EXPECT_EQ(parts[1].name, "x.b");
    EXPECT_EQ(total_flops(parts), 160);
    EXPECT_EQ(branch->kept_bytes(extent, 2), 8 * 2 * 5);
    EXPECT_EQ(branch->cached_values_per_token(0), 5);
  }
  // Rounds multiply work, not weights.
  const FlopParts parts = parts_of(repeat);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(total_flops(parts), 480);
  EXPECT_EQ(total_masked(parts), 6);
  EXPECT_EQ(parts[0].parameters, 1);
  EXPECT_EQ(active_parameters(parts), 1);
  EXPECT_EQ(repeat.kept_bytes(extent, 2), 3 * 8 * 2 * 5);
}

}  // namespace
}  // namespace pointwork::test
