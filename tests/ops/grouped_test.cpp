#include "pointwork/ops/grouped.h"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>

#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;

template <class T>
class Grouped : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Grouped, Types);

// How many rows each expert has, and how many rows beyond the last belong to none.
struct GroupCase {
  std::string name;
  std::vector<int32_t> load;
  int64_t empty = 0;
  Tensor offset() const {
    std::vector<int32_t> made(load.size() + 1, 0);
    std::partial_sum(load.begin(), load.end(), made.begin() + 1);
    return ints(made);
  }
  int64_t experts() const { return static_cast<int64_t>(load.size()); }
  int64_t filled() const { return std::accumulate(load.begin(), load.end(), int64_t{0}); }
  int64_t rows() const { return filled() + empty; }
};

std::vector<GroupCase> group_cases() {
  std::vector<GroupCase> cases = {
      {"no row", {0, 0, 0}}, {"no row of one", {0}}, {"empty rows only", {0, 0}, 5}};
  for (const int64_t n : kSizes) {
    const auto rows = static_cast<int32_t>(n);
    const auto add = [&](const char* name, std::vector<int32_t> load, int64_t empty = 0) {
      cases.push_back({std::string(name) + " " + std::to_string(n), std::move(load), empty});
    };
    add("one expert", {rows});
    add("one expert, a tail", {rows}, 3);
    add("all to one", {0, rows, 0, 0});
    add("uneven", {rows / 2, 0, rows / 3, 1, rows - rows / 2 - rows / 3}, 2);
    add("one hot", {3, rows, 0, 2}, 1);
  }
  return cases;
}

template <class Body>
void on_both_paths(const Body& body) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    body(composite ? ", composite" : ", kernel");
  }
}

Tensor wide(const Tensor& x) { return x.detach().to(torch::kFloat64); }

// The expert of each row, or -1.
std::vector<int64_t> expert_of_rows(const GroupCase& c) {
  std::vector<int64_t> expert;
  for (size_t e = 0; e < c.load.size(); ++e)
    expert.insert(expert.end(), static_cast<size_t>(c.load[e]), static_cast<int64_t>(e));
  expert.resize(static_cast<size_t>(c.rows()), -1);
  return expert;
}

// Row by row in float64, with the magnitudes of what was summed and how many terms there were.
struct Expected {
  Tensor y, y_terms;            // [N, out]
  Tensor d_x, d_x_terms;        // [N, in]
  Tensor d_weight, d_w_terms;   // [E, out, in]
  Tensor d_bias, d_bias_terms;  // [E, out]
};

Expected expected(const GroupCase& c, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& g) {
  const Threads one(1);  // rows so small that waking others costs more
  const auto half = [&](bool sizes) {
    const auto take = [&](const Tensor& of) { return sizes ? wide(of).abs() : wide(of); };
    const Tensor in = take(x), by = take(weight), pull = take(g);
    Tensor y = torch::zeros({c.rows(), weight.size(1)}, torch::kFloat64);
    Tensor d_x = torch::zeros_like(in), d_weight = torch::zeros_like(by);
    Tensor d_bias = torch::zeros({c.experts(), weight.size(1)}, torch::kFloat64);
    const std::vector<int64_t> expert = expert_of_rows(c);
    for (int64_t n = 0; n < c.rows(); ++n) {
      const int64_t e = expert[static_cast<size_t>(n)];
      if (e < 0) continue;
      y[n].copy_(by[e].mv(in[n]));
      if (bias.defined()) y[n] += take(bias)[e];
      d_x[n].copy_(by[e].t().mv(pull[n]));
      d_weight[e] += pull[n].unsqueeze(1) * in[n].unsqueeze(0);
      d_bias[e] += pull[n];
    }
    return std::vector<Tensor>{y, d_x, d_weight, d_bias};
  };
  const auto value = half(false), terms = half(true);
  return {value[0], terms[0], value[1], terms[1], value[2], terms[2], value[3], terms[3]};
}

template <class T>
Tensor bound_of(const Tensor& want, const Tensor& terms, double n) {
  return kRoundoff<T> * want.abs() + 4 * std::sqrt(std::max(1.0, n)) * kEpsilon<T> * terms;
}

TYPED_TEST(Grouped, EqualsRowByRow) {
  using T = TypeParam;
  const Threads one(1);  // so small that waking others costs more
  for (const GroupCase& c : group_cases()) {
    for (const auto& [in, out] : {std::pair<int64_t, int64_t>{33, 9}, {5, 40}}) {
      for (const bool biased : {false, true}) {
        const Tensor x = normal({c.rows(), in}, 1, kDtype<T>).set_requires_grad(true);
        const Tensor weight = normal({c.experts(), out, in}, 2, kDtype<T>).set_requires_grad(true);
        Tensor bias;
        if (biased) bias = normal({c.experts(), out}, 3, kDtype<T>).set_requires_grad(true);
        const Tensor g = normal({c.rows(), out}, 4, kDtype<T>);
        const Expected want = expected(c, x, weight, bias, g);
        const std::string sizes = concat(c.name, ", ", in, " to ", out, biased ? ", biased" : "");
        on_both_paths([&](const std::string& path) {
          const std::string what = sizes + path;
          for (Tensor leaf : {x, weight, bias})
            if (leaf.defined()) leaf.mutable_grad() = Tensor();
          const Tensor y = grouped_project(x, weight, c.offset(), bias);
          EXPECT_EQ(y.scalar_type(), kDtype<T>);
          y.backward(g);
          const auto rows = static_cast<double>(c.rows());
          expect_within("y, " + what, y, want.y,
                        bound_of<T>(want.y, want.y_terms, static_cast<double>(in + 1)));
          expect_within("d_x, " + what, x.grad(), want.d_x,
                        bound_of<T>(want.d_x, want.d_x_terms, static_cast<double>(out)));
          expect_within("d_weight, " + what, weight.grad(), want.d_weight,
                        bound_of<T>(want.d_weight, want.d_w_terms, rows));
          if (biased) {
            expect_within("d_bias, " + what, bias.grad(), want.d_bias,
                          bound_of<T>(want.d_bias, want.d_bias_terms, rows));
          }
        });
      }
    }
  }
}

// Wide enough for several tiles of columns, and for vector paths without a tail.
TYPED_TEST(Grouped, WideMatricesEqualRowByRow) {
  using T = TypeParam;
  const GroupCase c{"wide", {40, 0, 700, 1}, 3};
  const Tensor x = normal({c.rows(), 64}, 1, kDtype<T>).set_requires_grad(true);
  const Tensor weight = normal({4, 1100, 64}, 2, kDtype<T>).set_requires_grad(true);
  const Tensor g = normal({c.rows(), 1100}, 4, kDtype<T>);
  const Tensor y = grouped_project(x, weight, c.offset());
  y.backward(g);
  const Expected want = expected(c, x, weight, {}, g);
  expect_within("y", y, want.y, bound_of<T>(want.y, want.y_terms, 64));
  expect_within("d_x", x.grad(), want.d_x, bound_of<T>(want.d_x, want.d_x_terms, 1100));
  expect_within("d_weight", weight.grad(), want.d_weight,
                bound_of<T>(want.d_weight, want.d_w_terms, 700));
}

TYPED_TEST(Grouped, SpreadIsACopyAndItsGradientASum) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    for (const GroupCase& c : group_cases()) {
      const Tensor table = normal({c.experts(), 7}, 1, kDtype<T>).set_requires_grad(true);
      const Tensor g = normal({c.rows(), 7}, 2, kDtype<T>);
      const Tensor rows = spread_rows(table, c.offset(), c.rows());
      rows.backward(g);
      Tensor want = torch::zeros({c.rows(), 7}, torch::kFloat64);
      Tensor sum = torch::zeros({c.experts(), 7}, torch::kFloat64), terms = sum.clone();
      const std::vector<int64_t> expert = expert_of_rows(c);
      for (int64_t n = 0; n < c.rows(); ++n) {
        const int64_t e = expert[static_cast<size_t>(n)];
        if (e < 0) continue;
        want[n].copy_(wide(table)[e]);
        sum[e] += wide(g)[n];
        terms[e] += wide(g)[n].abs();
      }
      EXPECT_TRUE(wide(rows).equal(want)) << c.name << path;
      expect_within("d_table, " + c.name + path, table.grad(), sum,
                    bound_of<T>(sum, terms, static_cast<double>(c.rows())));
    }
  });
}

TEST(Grouped, GradientsEqualCentralDifferences) {
  on_both_paths([](const std::string& path) {
    for (const GroupCase& c : group_cases()) {
      if (c.rows() > 40 || c.rows() == 0) continue;
      const Tensor offset = c.offset();
      expect_gradients(
          "grouped_project, " + c.name + path,
          [&](const auto& in) { return grouped_project(in[0], in[1], offset, in[2]).sin(); },
          {normal({c.rows(), 3}, 1), normal({c.experts(), 4, 3}, 2), normal({c.experts(), 4}, 3)});
      expect_gradients("spread_rows, " + c.name + path,
                       [&](const auto& in) { return spread_rows(in[0], offset, c.rows()).sin(); },
                       {normal({c.experts(), 3}, 1)});
    }
  });
}

// ⟨y, g⟩ is linear in x and in W: ⟨x, d_x⟩ = ⟨W, d_W⟩ = ⟨y, g⟩. Whole numbers, so that all sides
// are exact in float64.
TEST(Grouped, GradientsAreAdjoints) {
  const auto whole = [](at::IntArrayRef sizes, uint64_t seed) {
    return normal(sizes, seed, torch::kFloat64, 3).round();
  };
  on_both_paths([&](const std::string& path) {
    for (const GroupCase& c : group_cases()) {
      const Tensor x = whole({c.rows(), 6}, 1).set_requires_grad(true);
      const Tensor weight = whole({c.experts(), 5, 6}, 2).set_requires_grad(true);
      const Tensor g = whole({c.rows(), 5}, 3);
      const Tensor y = grouped_project(x, weight, c.offset());
      y.backward(g);
      const auto inner = [](const Tensor& a, const Tensor& b) {
        return (a.detach() * b).sum().item<double>();
      };
      EXPECT_EQ(inner(x, x.grad()), inner(y, g)) << c.name << path;
      EXPECT_EQ(inner(weight, weight.grad()), inner(y, g)) << c.name << path;
    }
  });
}

// What belongs to no expert, and experts that no row takes, are neither read nor written to.
TYPED_TEST(Grouped, WhatTakesNoPartIsNotRead) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    const GroupCase c{"", {2, 0, 3, 0}, 4};
    const Tensor x = normal({c.rows(), 33}, 1, kDtype<T>);
    const Tensor weight = normal({4, 9, 33}, 2, kDtype<T>), bias = normal({4, 9}, 3, kDtype<T>);
    const Tensor g = normal({c.rows(), 9}, 4, kDtype<T>);
    for (const Tensor& nowhere :
         {x.slice(0, 5), g.slice(0, 5), weight[1], weight[3], bias[1], bias[3]})
      nowhere.fill_(std::nan(""));
    for (Tensor leaf : {x, weight, bias}) leaf.set_requires_grad(true);
    const Tensor y = grouped_project(x, weight, c.offset(), bias);
    y.backward(g);
    for (const Tensor& made : {y, x.grad(), weight.grad(), bias.grad()})
      EXPECT_TRUE(made.isfinite().all().template item<bool>()) << path;
    for (const Tensor& zero : {y.slice(0, 5), x.grad().slice(0, 5), weight.grad()[1],
                               weight.grad()[3], bias.grad()[1], bias.grad()[3]})
      EXPECT_TRUE(same_bits(zero, torch::zeros_like(zero))) << path;
  });
}

// Only what is asked for: no gradient of a weight that is frozen, none of an input that has none.
TEST(Grouped, FrozenInputsHaveNoGradient) {
  on_both_paths([](const std::string& path) {
    const GroupCase c{"", {2, 0, 3}, 1};
    for (const int asked : {1, 2, 4}) {
      Tensor x = normal({6, 3}, 1), weight = normal({3, 4, 3}, 2), bias = normal({3, 4}, 3);
      const Tensor g = normal({6, 4}, 4);
      x.set_requires_grad(asked & 1);
      weight.set_requires_grad(asked & 2);
      bias.set_requires_grad(asked & 4);
      grouped_project(x, weight, c.offset(), bias).backward(g);
      EXPECT_EQ(x.grad().defined(), (asked & 1) != 0) << path;
      EXPECT_EQ(weight.grad().defined(), (asked & 2) != 0) << path;
      EXPECT_EQ(bias.grad().defined(), (asked & 4) != 0) << path;
      const Expected want = expected(c, x, weight, bias, g);
      if (asked == 1) expect_same("d_x" + path, x.grad(), want.d_x);
      if (asked == 2) expect_same("d_weight" + path, weight.grad(), want.d_weight);
      if (asked == 4) expect_same("d_bias" + path, bias.grad(), want.d_bias);
    }
  });
}

// The same bits again, and where several experts have rows, on one thread or two.
TYPED_TEST(Grouped, ResultsDependOnNoThreadCount) {
  using T = TypeParam;
  const GroupCase c{"", {300, 0, 900, 17, 1}, 5};
  const auto run = [&](int threads) {
    const Threads set(threads);
    std::vector<Tensor> in = {normal({c.rows(), 65}, 1, kDtype<T>),
                              normal({c.experts(), 1030, 65}, 2, kDtype<T>),
                              normal({c.experts(), 1030}, 3, kDtype<T>)};
    for (Tensor& x : in) x.set_requires_grad(true);
    const Tensor out = grouped_project(in[0], in[1], c.offset(), in[2]);
    out.backward(normal(out.sizes(), 4, kDtype<T>));
    return std::vector<Tensor>{out, in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const auto one = run(1), two = run(2), again = run(2);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], two[i])) << i;
    EXPECT_TRUE(same_bits(two[i], again[i])) << i;
  }
}

TEST(Grouped, WrongShapesAreNamed) {
  const Tensor x = normal({3, 4}, 1), weight = normal({2, 5, 4}, 2), offset = ints({0, 1, 3});
  EXPECT_EQ(error_of([&] { grouped_project(x, weight[0], offset); }),
            "[grouped_project] weight must be [E, out, in] but has shape [5, 4]");
  EXPECT_EQ(error_of([&] {
              grouped_project(normal({3, 5}, 1), weight, offset);
            }),
            "[grouped_project] x must be [N, 4] but has shape [3, 5]");
  EXPECT_EQ(error_of([&] { grouped_project(x.to(torch::kFloat32), weight, offset); }),
            "[grouped_project] weight must be Float as x is but is Double");
  EXPECT_EQ(error_of([&] {
              grouped_project(x, weight, offset, normal({2, 4}, 1));
            }),
            "[grouped_project] bias must be [2, 5] but has shape [2, 4]");
  EXPECT_EQ(error_of([&] {
              grouped_project(x, weight, ints({0, 3}));
            }),
            "[grouped_project] offset must be int32 [3] but is Int [2]");
  EXPECT_EQ(error_of([&] { grouped_project(x, weight, offset.to(torch::kInt64)); }),
            "[grouped_project] offset must be int32 [3] but is Long [3]");
  for (const auto& [bad, text] :
       {std::pair(ints({0, 1, 4}), "[0, 1, 4]"), std::pair(ints({0, 2, 1}), "[0, 2, 1]"),
        std::pair(ints({1, 1, 3}), "[1, 1, 3]")}) {
    const std::string rest = concat("offsets must ascend from 0 to at most 3 but are ", text);
    EXPECT_EQ(error_of([&] { grouped_project(x, weight, bad); }), "[grouped_project] " + rest);
    EXPECT_EQ(error_of([&] { spread_rows(weight[0].slice(0, 0, 2), bad, 3); }),
              "[spread_rows] " + rest);
  }
  EXPECT_EQ(error_of([&] { spread_rows(x[0], offset, 3); }),
            "[spread_rows] table must be [E, D] but has shape [4]");
  EXPECT_EQ(error_of([&] { spread_rows(x, offset, 3); }),
            "[spread_rows] offset must be int32 [4] but is Int [3]");
}

}  // namespace
}  // namespace pointwork::test
