// Matrix products, and the activations between them.
#include "pointwork/ops/linear.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/activation.h"
#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
using kernels::Nonlinearity;
namespace reference = kernels::reference;

template <class T>
class Linear : public ::testing::Test {};
template <class T>
class Activate : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Linear, Types);
TYPED_TEST_SUITE(Activate, Types);

Tensor wide(const Tensor& x) { return x.detach().to(torch::kFloat64); }

// roundings: of the result to T on the way.
template <class T>
Tensor bound_of(const Tensor& want, const Tensor& terms, int64_t n, int roundings = 1) {
  return roundings * kRoundoff<T> * (want.abs() + (roundings > 1 ? terms : torch::zeros({}))) +
         4 * std::sqrt(static_cast<double>(n)) * kEpsilon<T> * terms;
}

TYPED_TEST(Linear, ProductsEqualReference) {
  using T = TypeParam;
  for (const int64_t n : kSizes) {
    for (const auto& [rows, in, out] :
         {std::tuple{n, int64_t{33}, int64_t{9}}, std::tuple{int64_t{9}, n, int64_t{33}},
          std::tuple{int64_t{33}, int64_t{9}, n}}) {
      const Tensor x = normal({rows, in}, 1, kDtype<T>), w = normal({out, in}, 2, kDtype<T>);
      const Tensor bias = normal({out}, 3, kDtype<T>), base = normal({rows, out}, 4, kDtype<T>);
      const Tensor product = wide(x).mm(wide(w).t()), terms = wide(x).abs().mm(wide(w).abs().t());
      const std::string what = concat(rows, " x ", in, " x ", out);
      expect_within(what, project(x, w), product, bound_of<T>(product, terms, in));
      expect_within(what + ", bias", project(x, w, bias), product + wide(bias),
                    bound_of<T>(product + wide(bias), terms + wide(bias).abs(), in));
      expect_within(what + ", residual", project_add(base, x, w), product + wide(base),
                    bound_of<T>(product + wide(base), terms + wide(base).abs(), in));
      // The bias is added to what was rounded already.
      expect_within(what + ", residual, bias", project_add(base, x, w, bias),
                    product + wide(base) + wide(bias),
                    bound_of<T>(product + wide(base) + wide(bias),
                                terms + wide(base).abs() + wide(bias).abs(), in, 2));
    }
  }
}

// Whatever the stream is rounded to, a score is a float32 sum of its exact elements.
TYPED_TEST(Linear, RowDotIsFloat32) {
  using T = TypeParam;
  using A = kernels::Accumulator<T>;
  for (const int64_t n : kSizes) {
    const Tensor x = normal({7, n}, 1, kDtype<T>).set_requires_grad(true);
    const Tensor w = normal({n}, 2, kDtype<A>).set_requires_grad(true);
    const Tensor got = row_dot(x, w);
    EXPECT_EQ(got.scalar_type(), kDtype<A>);
    const Tensor want = wide(x).mv(wide(w)), terms = wide(x).abs().mv(wide(w).abs());
    expect_within(concat("row_dot of ", n), got, want, bound_of<A>(want, terms, n));
    const Tensor g = normal({7}, 3, kDtype<A>);
    got.backward(g);
    const Tensor d_x = wide(g).unsqueeze(1) * wide(w), d_w = wide(x).t().mv(wide(g));
    expect_within("d_x", x.grad(), d_x, kRoundoff<T> * d_x.abs() + 2 * kEpsilon<A> * d_x.abs());
    EXPECT_EQ(w.grad().scalar_type(), kDtype<A>);
    expect_within("d_w", w.grad(), d_w, bound_of<A>(d_w, wide(x).abs().t().mv(wide(g).abs()), n));
  }
}

TEST(Linear, GradientsEqualCentralDifferences) {
  expect_gradients("project", [](const auto& in) { return project(in[0], in[1], in[2]).sin(); },
                   {normal({5, 3}, 1), normal({4, 3}, 2), normal({4}, 3)});
  expect_gradients("project_add",
                   [](const auto& in) { return project_add(in[3], in[0], in[1], in[2]).sin(); },
                   {normal({5, 3}, 1), normal({4, 3}, 2), normal({4}, 3), normal({5, 4}, 4)});
  expect_gradients("row_dot", [](const auto& in) { return row_dot(in[0], in[1]).sin(); },
                   {normal({5, 3}, 1), normal({3}, 2)});
}

TEST(Linear, WrongShapesAreNamed) {
  const Tensor x = normal({3, 4}, 1), w = normal({2, 4}, 2);
  EXPECT_EQ(error_of([&] {
              project(x, normal({2, 5}, 1));
            }),
            "[project] x must be [T, 5] but has shape [3, 4]");
  EXPECT_EQ(error_of([&] { project(x, w, normal({3}, 1)); }),
            "[project] bias must be [2] but has shape [3]");
  EXPECT_EQ(error_of([&] {
              project_add(normal({3, 2}, 1), x, normal({2, 5}, 1));
            }),
            "[project_add] x must be [T, 5] but has shape [3, 4]");
  EXPECT_EQ(error_of([&] {
              project_add(normal({1, 2}, 1), x, w);
            }),
            "[project_add] residual must be [3, 2] but has shape [1, 2]");
  EXPECT_EQ(error_of([&] {
              project_add(normal({3, 2}, 1), x, w, normal({1}, 1));
            }),
            "[project_add] bias must be [2] but has shape [1]");
  EXPECT_EQ(error_of([&] { row_dot(x, normal({3}, 1)); }),
            "[row_dot] x must be [T, 3] but has shape [3, 4]");
}

const std::vector<std::pair<Activation, Nonlinearity>> kPlain = {
    {Activation::gelu, Nonlinearity::gelu},
    {Activation::gelu_tanh, Nonlinearity::gelu_tanh},
    {Activation::relu, Nonlinearity::relu}};

// The library takes 1 + erf(x / √2) and 1 + tanh(u): sums of terms of 1, whatever is left of them.
// Their gradients take 1 − tanh² and x's own slopes besides.
template <class T>
void expect_plain(const std::string& what, Activation activation, Nonlinearity kind,
                  const Tensor& x, const Tensor& g) {
  const Tensor out = activate(x, activation);
  out.backward(g);
  const Tensor size = wide(x).abs(), pull = wide(g).abs();
  const auto tensor = [&](const reference::Bounded& of) {
    return torch::tensor(of.value, torch::kFloat64).view(x.sizes());
  };
  const Tensor want = tensor(reference::activate(kind, doubles(x)));
  expect_within(what, out, want, bound_of<T>(want, size, 1));
  const Tensor grad = tensor(reference::activate_backward(kind, doubles(g), doubles(x)));
  expect_within("gradient, " + what, x.grad(), grad,
                bound_of<T>(grad, pull * (1 + size * (1 + 0.134 * size.square())), 1));
}

TYPED_TEST(Activate, EqualsReference) {
  using T = TypeParam;
  for (const int64_t width : kSizes) {
    for (const double spread : {1.0, 6.0}) {
      for (const auto& [activation, kind] : kPlain) {
        expect_plain<T>(concat(static_cast<int>(kind), " of width ", width), activation, kind,
                        normal({4, width}, 1, kDtype<T>, spread).set_requires_grad(true),
                        normal({4, width}, 2, kDtype<T>));
      }
      for (const bool composite : {false, true}) {
        std::optional<CompositeGuard> guard;
        if (composite) guard.emplace();
        const Tensor x = normal({4, 2 * width}, 1, kDtype<T>, spread).set_requires_grad(true);
        const Tensor g = normal({4, width}, 2, kDtype<T>);
        const auto gate = doubles(x.slice(1, 0, width)), up = doubles(x.slice(1, width));
        const Tensor out = activate(x, Activation::swiglu);
        const std::string what = concat("swiglu of width ", width, composite ? ", composite" : "");
        // The composite is rounded to bfloat16 at each of its steps.
        if (composite && std::is_same_v<T, BFloat16>) continue;
        expect_close(what, elements<T>(out), reference::swiglu(gate, up), 1, kEpsilon<T>);
        out.backward(g);
        const auto grad = reference::swiglu_backward(doubles(g), gate, up);
        expect_close("d_gate, " + what, elements<T>(x.grad().slice(1, 0, width)), grad.d_gate, 1,
                     kEpsilon<T>);
        expect_close("d_up, " + what, elements<T>(x.grad().slice(1, width)), grad.d_up, 1,
                     kEpsilon<T>);
      }
    }
  }
}

TEST(Activate, GradientsEqualCentralDifferences) {
  for (const Activation activation :
       {Activation::gelu, Activation::gelu_tanh, Activation::swiglu}) {
    expect_gradients("activation",
                     [&](const auto& in) { return activate(in[0], activation).sin(); },
                     {normal({5, 6}, 1)});
  }
  const CompositeGuard guard;
  expect_gradients("composite",
                   [&](const auto& in) { return activate(in[0], Activation::swiglu).sin(); },
                   {normal({5, 6}, 1)});
}

TEST(Activate, WrongShapesAreNamed) {
  EXPECT_EQ(error_of([] {
              activate(normal({3, 5}, 1), Activation::swiglu);
            }),
            "[activate] x must be [T, 2F] with swiglu but has shape [3, 5]");
}

}  // namespace
}  // namespace pointwork::test
