#include "pointwork/ops/gru.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

namespace reference = kernels::reference;

template <class T>
class GruCell : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GruCell, Types);

struct Inputs {
  Tensor a, c, h;  // h undefined: the state is 0
};

Inputs inputs(int64_t rows, int64_t size, bool zero, torch::Dtype dtype) {
  Inputs in{normal({rows, 3 * size}, 1, dtype),
            zero ? normal({3 * size}, 2, dtype) : normal({rows, 3 * size}, 2, dtype),
            zero ? Tensor() : normal({rows, size}, 3, dtype)};
  for (Tensor* x : {&in.a, &in.c, &in.h})
    if (x->defined()) x->set_requires_grad(true);
  return in;
}

TYPED_TEST(GruCell, EqualsReference) {
  using T = TypeParam;
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const int64_t n : kSizes) {
      for (const auto& [rows, size] :
           {std::pair{n, int64_t{7}}, std::pair{int64_t{5}, n}, std::pair{int64_t{0}, n}}) {
        for (const bool zero : {false, true}) {
          const Inputs in = inputs(rows, size, zero, kDtype<T>);
          const Tensor g = normal({rows, size}, 4, kDtype<T>);
          const Tensor out = gru_cell(in.a, in.c, in.h);
          out.backward(g);
          const auto h = zero ? std::vector<double>() : doubles(in.h);
          const auto want =
              reference::gru_cell_backward(doubles(g), doubles(in.a), doubles(in.c), h, size);
          const std::string what = concat(rows, " rows of ", size, zero ? ", state of 0" : "",
                                          composite ? ", composite" : "");
          expect_close(what, elements<T>(out),
                       reference::gru_cell(doubles(in.a), doubles(in.c), h, size), 1, kEpsilon<T>);
          expect_close("d_a, " + what, elements<T>(in.a.grad()), want.d_a, 1, kEpsilon<T>);
          const auto n_rows = static_cast<double>(std::max<int64_t>(rows, 1));
          expect_close("d_c, " + what, elements<T>(in.c.grad()), want.d_c, zero ? n_rows : 1,
                       kEpsilon<T>);
          if (!zero)
            expect_close("d_h, " + what, elements<T>(in.h.grad()), want.d_h, 1, kEpsilon<T>);

          const torch::NoGradGuard no_grad;
          EXPECT_TRUE(same_bits(gru_cell(in.a, in.c, in.h), out)) << what;
        }
      }
    }
  }
}

TEST(GruCell, GradientsEqualCentralDifferences) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const int64_t size : {1, 3, 33}) {
      expect_gradients("gru_cell", [](const auto& in) { return gru_cell(in[0], in[1], in[2]); },
                       {normal({4, 3 * size}, 1), normal({4, 3 * size}, 2), normal({4, size}, 3)});
      expect_gradients("gru_cell, state of 0",
                       [](const auto& in) { return gru_cell(in[0], in[1]); },
                       {normal({4, 3 * size}, 1), normal({3 * size}, 2)});
    }
  }
}

// The library's cell of the same weights, and its gradients.
TEST(GruCell, IsTheLibrarysCell) {
  const int64_t rows = 9, width = 12, size = 7;
  const std::vector<Tensor> in = {normal({rows, width}, 1),     normal({rows, size}, 2),
                                  normal({3 * size, width}, 3), normal({3 * size, size}, 4),
                                  normal({3 * size}, 5),        normal({3 * size}, 6)};
  const Function ours = [](const auto& in) {
    return gru_cell(at::addmm(in[4], in[0], in[2].t()), at::addmm(in[5], in[1], in[3].t()), in[1]);
  };
  const Function theirs = [](const auto& in) {
    return at::gru_cell(in[0], in[1], in[2], in[3], in[4], in[5]);
  };
  expect_same("h'", ours(in), theirs(in));
  const auto got = gradients(ours, in), want = gradients(theirs, in);
  for (size_t i = 0; i < in.size(); ++i) expect_same(concat("input ", i), got[i], want[i]);

  const Function first = [](const auto& in) {
    return gru_cell(at::addmm(in[4], in[0], in[2].t()), in[5]);
  };
  std::vector<Tensor> zero = in;
  zero[1] = torch::zeros_like(in[1]);
  expect_same("h' of 0", first(zero), theirs(zero));
  EXPECT_TRUE(same_bits(first(zero), ours(zero)));
}

TYPED_TEST(GruCell, StridedInputsAndGradientsAreAsContiguousOnes) {
  using T = TypeParam;
  const auto run = [](bool strided) {
    const auto made = [&](at::IntArrayRef sizes, uint64_t seed) {
      const Tensor x = normal({sizes[1], sizes[0]}, seed, kDtype<T>).t();
      return strided ? x : x.contiguous();
    };
    Inputs in{made({4, 15}, 1), made({4, 15}, 2), made({4, 5}, 3)};
    for (Tensor* x : {&in.a, &in.c, &in.h}) x->set_requires_grad(true);
    const Tensor out = gru_cell(in.a, in.c, in.h);
    out.backward(made({4, 5}, 4));
    return std::vector<Tensor>{out, in.a.grad(), in.c.grad(), in.h.grad()};
  };
  const auto a = run(true), b = run(false);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << i;
}

TEST(GruCell, WrongShapesAndTypesAreNamed) {
  const Tensor a = normal({4, 6}, 1), h = normal({4, 2}, 2);
  EXPECT_EQ(error_of([&] {
              gru_cell(normal({4, 5}, 1), a, h);
            }),
            "[gru_cell] a must be [T, 3r] but has shape [4, 5]");
  EXPECT_EQ(error_of([&] { gru_cell(a, normal({6}, 1), h); }),
            "[gru_cell] c must be [4, 6] but has shape [6]");
  EXPECT_EQ(error_of([&] { gru_cell(a, a); }),
            "[gru_cell] c must be [6] where there is no h but has shape [4, 6]");
  EXPECT_EQ(error_of([&] {
              gru_cell(a, a, normal({4, 3}, 1));
            }),
            "[gru_cell] h must be [4, 2] but has shape [4, 3]");
  EXPECT_EQ(error_of([&] { gru_cell(a, a.to(torch::kFloat32), h); }),
            "[gru_cell] a, c and h must be of one type but are Double, Float and Double");
}

}  // namespace
}  // namespace pointwork::test
