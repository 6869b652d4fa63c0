#include "pointwork/ops/rows.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace reference = kernels::reference;

template <class T>
class Rows : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Rows, Types);

RowIndex index_of(const std::vector<int32_t>& token, int64_t rows) {
  RowIndex index{ints(token), {}, {}};
  std::tie(index.row_offset, index.row_slot) = index_slots(index.token, rows);
  return index;
}

// The test once on our kernels and once on the library's ops.
template <class Body>
void on_both_paths(const Body& body) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    body(composite ? ", composite" : ", kernel");
  }
}

// Every width between them, beside every number of rows, is the kernels' own tests' business.
int64_t width_for(int64_t rows) { return rows == 1000 ? 3 : 33; }

double most_slots(const RowIndex& index) {
  const Tensor& offset = index.row_offset;
  return std::max(1.0, largest(offset.slice(0, 1) - offset.slice(0, 0, -1)));
}

TEST(Rows, IndexIsTheTransposeOnBothPaths) {
  on_both_paths([](const std::string& path) {
    for (const RouteCase& c : route_cases()) {
      const RowIndex index = index_of(c.token, c.rows);
      const auto want = reference::index_slots(c.token, c.rows);
      EXPECT_EQ(elements<int32_t>(index.row_offset), want.row_offset) << c.name << path;
      // Slots past the filled ones may be there: no row reaches them.
      const auto filled = static_cast<int64_t>(want.row_slot.size());
      EXPECT_EQ(elements<int32_t>(index.row_slot.slice(0, 0, filled)), want.row_slot)
          << c.name << path;
    }
  });
}

TYPED_TEST(Rows, DispatchEqualsReference) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    for (const RouteCase& c : route_cases()) {
      const int64_t width = width_for(c.rows);
      const RowIndex index = index_of(c.token, c.rows);
      const auto slots = static_cast<int64_t>(c.token.size());
      const Tensor x = normal({c.rows, width}, 1, kDtype<T>).set_requires_grad(true);
      const Tensor g = normal({slots, width}, 2, kDtype<T>);
      const Tensor out = dispatch(x, index);
      out.backward(g);
      const auto want = reference::gather_rows(doubles(x), c.token, {}, width);
      EXPECT_EQ(doubles(out), want.value) << c.name << path;  // a copy
      const auto d_x = reference::scatter_rows({}, doubles(g), {}, c.token, c.rows, width);
      expect_close("d_x, " + c.name + path, elements<T>(x.grad()), d_x, most_slots(index),
                   kEpsilon<T>);
    }
  });
}

TYPED_TEST(Rows, CombineEqualsReference) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    for (const RouteCase& c : route_cases()) {
      for (const auto& [weighted, based] :
           {std::pair{true, true}, std::pair{true, false}, std::pair{false, c.rows % 2 == 0}}) {
        const int64_t width = width_for(c.rows);
        const RowIndex index = index_of(c.token, c.rows);
        const auto slots = static_cast<int64_t>(c.token.size());
        const std::string what =
            c.name + (weighted ? ", weighted" : "") + (based ? ", based" : "") + path;
        Tensor base, weight;
        if (based) base = normal({c.rows, width}, 1, kDtype<T>).set_requires_grad(true);
        if (weighted) weight = normal({slots}, 2, torch::kFloat32).set_requires_grad(true);
        const Tensor y = normal({slots, width}, 3, kDtype<T>).set_requires_grad(true);
        const Tensor g = normal({c.rows, width}, 4, kDtype<T>);
        const Tensor out = combine(base, y, weight, index);
        out.backward(g);

        const auto w = weighted ? doubles(weight) : std::vector<double>();
        const auto want = reference::scatter_rows(based ? doubles(base) : std::vector<double>(),
                                                  doubles(y), w, c.token, c.rows, width);
        const auto grad = reference::gather_dot_rows(doubles(g), doubles(y), c.token, w, width);
        expect_close("out, " + what, elements<T>(out), want, most_slots(index) + 1, kEpsilon<T>);
        expect_close("d_y, " + what, elements<T>(y.grad()), grad.d_y, 1, kEpsilon<T>);
        if (based) {
          EXPECT_TRUE(same_bits(base.grad(), g)) << what;
        }
        if (weighted) {
          expect_close("d_weight, " + what, elements<float>(weight.grad()), grad.d_weight,
                       static_cast<double>(width), kEpsilon<float>);
        }
      }
    }
  });
}

TYPED_TEST(Rows, EmbedEqualsReference) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    for (const int64_t rows : kSizes) {
      const int64_t vocab = 7, width = 33;
      std::vector<int32_t> id;
      for (int64_t t = 0; t < rows; ++t)
        id.push_back(static_cast<int32_t>(random_below(6, 1, static_cast<uint64_t>(t))));
      const Tensor weight = normal({vocab, width}, 2, kDtype<T>).set_requires_grad(true);
      const Tensor g = normal({rows, width}, 3, kDtype<T>);
      const Tensor out = embed(weight, ints(id));
      out.backward(g);
      EXPECT_EQ(doubles(out), reference::gather_rows(doubles(weight), id, {}, width).value);
      const auto want = reference::scatter_rows({}, doubles(g), {}, id, vocab, width);
      expect_close("d_weight, " + std::to_string(rows) + " rows" + path, elements<T>(weight.grad()),
                   want, static_cast<double>(rows), kEpsilon<T>);
    }
  });
}

// Whole numbers, so that both sides are exact.
TYPED_TEST(Rows, CombineIsTheTransposeOfDispatch) {
  using T = TypeParam;
  const auto whole = [](at::IntArrayRef sizes, uint64_t seed) {
    return normal(sizes, seed, torch::kFloat64, 3).round().clamp(-8, 8).to(kDtype<T>);
  };
  on_both_paths([&](const std::string& path) {
    for (const RouteCase& c : route_cases()) {
      // bfloat16 holds whole numbers up to 256: two slots a row, not a thousand.
      if (std::is_same_v<T, BFloat16> && c.name.find("to one") != std::string::npos) continue;
      const RowIndex index = index_of(c.token, c.rows);
      const auto slots = static_cast<int64_t>(c.token.size());
      const Tensor x = whole({c.rows, 5}, 1), y = whole({slots, 5}, 2);
      const Tensor weight = torch::pow(2, normal({slots}, 3, torch::kFloat32).round().clamp(-1, 1));
      const auto inner = [](const Tensor& a, const Tensor& b) {
        return (a.to(torch::kFloat64) * b.to(torch::kFloat64)).sum().template item<double>();
      };
      EXPECT_EQ(inner(dispatch(x, index), y), inner(x, combine({}, y, {}, index)))
          << c.name << path;
      const Tensor weighed = dispatch(x, index) * weight.unsqueeze(1);
      if (std::is_same_v<T, BFloat16> && c.name.find("any") != std::string::npos) continue;
      EXPECT_EQ(inner(weighed, y), inner(x, combine({}, y, weight, index))) << c.name << path;
    }
  });
}

TEST(Rows, GradientsEqualCentralDifferences) {
  for (const RouteCase& c : route_cases()) {
    if (c.rows > 33 || c.token.empty()) continue;
    const RowIndex index = index_of(c.token, c.rows);
    const auto slots = static_cast<int64_t>(c.token.size());
    expect_gradients("dispatch, " + c.name,
                     [&](const auto& in) { return dispatch(in[0], index).square(); },
                     {normal({c.rows, 3}, 1)});
    expect_gradients("combine, " + c.name,
                     [&](const auto& in) { return combine(in[0], in[1], in[2], index).square(); },
                     {normal({c.rows, 3}, 1), normal({slots, 3}, 2), normal({slots}, 3)});
    expect_gradients("combine alone, " + c.name,
                     [&](const auto& in) { return combine({}, in[0], {}, index).square(); },
                     {normal({slots, 3}, 2)});
  }
  expect_gradients("embed",
                   [](const auto& in) {
                     return embed(in[0], ints({4, 0, 4, 4, 2})).square();
                   },
                   {normal({5, 3}, 1)});
}

// A row with no slot is its base to the bit; an empty slot's y, even if it is no number, is
// nowhere.
TYPED_TEST(Rows, EmptySlotsAreReadByNobody) {
  using T = TypeParam;
  on_both_paths([](const std::string& path) {
    const RowIndex index = index_of({2, -1, 0, -1}, 4);
    const Tensor base = normal({4, 9}, 1, kDtype<T>), y = normal({4, 9}, 2, kDtype<T>);
    base[1][0] = -0.0;
    y[1].fill_(std::nan(""));
    y[3].fill_(std::nan(""));
    const Tensor weight = normal({4}, 3, torch::kFloat32);
    weight[1] = std::nan("");
    const Tensor out = combine(base, y, weight, index);
    EXPECT_TRUE(same_bits(out[1], base[1])) << path;
    EXPECT_TRUE(same_bits(out[3], base[3])) << path;
    EXPECT_TRUE(out.isfinite().all().template item<bool>()) << path;
    EXPECT_EQ(largest(dispatch(base, index)[1]), 0) << path;
  });
}

// The same bits again, and on one thread or two.
TYPED_TEST(Rows, ResultsDependOnNoThreadCount) {
  using T = TypeParam;
  const int64_t rows = 1000, width = 129;
  std::vector<int32_t> token;
  for (uint64_t s = 0; s < 2000; ++s)
    token.push_back(static_cast<int32_t>(random_below(rows + 1, 1, s)) - 1);
  const auto run = [&](int threads) {
    const Threads set(threads);
    const RowIndex index = index_of(token, rows);
    std::vector<Tensor> in = {normal({rows, width}, 1, kDtype<T>),
                              normal({2000, width}, 2, kDtype<T>),
                              normal({2000}, 3, torch::kFloat32)};
    for (Tensor& x : in) x.set_requires_grad(true);
    const Tensor out = combine(in[0], in[1], in[2], index) +
                       combine({}, dispatch(in[0], index), {}, index) +
                       embed(in[1], index.token.clamp_min(0)).slice(0, 0, rows);
    (out * normal({rows, width}, 4, kDtype<T>)).sum().backward();
    return std::vector<Tensor>{out, in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const auto one = run(1), two = run(2), again = run(2);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], two[i])) << i;
    EXPECT_TRUE(same_bits(two[i], again[i])) << i;
  }
}

TEST(Rows, WrongShapesAreNamed) {
  const RowIndex index = index_of({1, 0}, 3);
  const Tensor x = normal({3, 4}, 1), y = normal({2, 4}, 2);
  EXPECT_EQ(error_of([&] { dispatch(y, index); }),
            "[dispatch] x must be [3, D] but has shape [2, 4]");
  EXPECT_EQ(error_of([&] { combine({}, x, {}, index); }),
            "[combine] y must be [2, D] but has shape [3, 4]");
  EXPECT_EQ(error_of([&] { combine(y, y, {}, index); }),
            "[combine] base must be [3, 4] but has shape [2, 4]");
  EXPECT_EQ(error_of([&] { combine(normal({3}, 1), y, {}, index); }),
            "[combine] base must be [3, 4] but has shape [3]");
  EXPECT_EQ(error_of([&] { combine({}, y, normal({3}, 1, torch::kFloat32), index); }),
            "[combine] weight must be [2] but has shape [3]");
  EXPECT_EQ(error_of([&] { combine(x.to(torch::kFloat32), y, {}, index); }),
            "[combine] base must be Double as y is but is Float");
  EXPECT_EQ(error_of([&] {
              embed(x, ints({0, 1}).unsqueeze(0));
            }),
            "[embed] ids must be [T] but have shape [1, 2]");
  EXPECT_EQ(error_of([&] { embed(x, ints({0, 3})); }), "[embed] ids must be below 3 but one is 3");
}

}  // namespace
}  // namespace pointwork::test
