#pragma once
// Tensors in tests: made, read, differentiated.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/kernels/bfloat16.h"

namespace pointwork::test {

using torch::Tensor;

template <class T>
inline constexpr auto kDtype = torch::kFloat32;
template <>
inline constexpr auto kDtype<double> = torch::kFloat64;
template <>
inline constexpr auto kDtype<kernels::BFloat16> = torch::kBFloat16;

// N(0, spread²) by seed, rounded to dtype.
inline Tensor normal(at::IntArrayRef sizes, uint64_t seed, torch::Dtype dtype = torch::kFloat64,
                     double spread = 1) {
  Tensor made = torch::empty(sizes, torch::kFloat64);
  double* out = made.data_ptr<double>();
  for (int64_t i = 0; i < made.numel(); ++i)
    out[i] = spread * random_normal(seed, static_cast<uint64_t>(i));
  return made.to(dtype);
}

inline Tensor ints(const std::vector<int32_t>& values) {
  return torch::tensor(values, torch::kInt32);
}

// The elements of x, which must be of T's type.
template <class T>
std::vector<T> elements(const Tensor& x) {
  const Tensor flat = x.detach().contiguous();
  std::vector<T> values(static_cast<size_t>(flat.numel()));
  check(flat.element_size() == sizeof(T), "elements of ", sizeof(T), " bytes asked of a tensor of ",
        flat.scalar_type());
  if (!values.empty()) std::memcpy(values.data(), flat.data_ptr(), values.size() * sizeof(T));
  return values;
}

inline std::vector<double> doubles(const Tensor& x) {
  return elements<double>(x.detach().to(torch::kFloat64));
}

inline std::vector<uint8_t> bools(const Tensor& x) { return elements<uint8_t>(x); }

// The same type, shape and bits: NaN equals itself, −0 differs from 0.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const Tensor x = a.detach().contiguous(), y = b.detach().contiguous();
  return x.numel() == 0 || std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

inline double largest(const Tensor& x) {
  return x.numel() == 0 ? 0 : x.detach().to(torch::kFloat64).abs().max().item<double>();
}

// |got − want| ≤ bound element by element; the worst is named. All float64.
inline void expect_within(const std::string& what, const Tensor& got, const Tensor& want,
                          const Tensor& bound) {
  ASSERT_EQ(got.sizes(), want.sizes()) << what;
  if (got.numel() == 0) return;
  const Tensor wide = got.detach().to(torch::kFloat64);
  const Tensor ratio = ((wide - want).abs() / (bound + 1e-300)).flatten();
  const int64_t at = ratio.argmax().item<int64_t>();  // NaN is the largest
  EXPECT_LE(ratio[at].item<double>(), 1)
      << what << ": worst at " << at << " of " << got.numel() << ", got "
      << wide.flatten()[at].item<double>() << ", want "
      << want.detach().flatten()[at].item<double>() << ", bound "
      << bound.expand_as(want).flatten()[at].item<double>();
}

// The whole of what float64 arithmetic of a few hundred steps may differ by: 2^10 roundings of the
// largest magnitude that took part.
inline void expect_same(const std::string& what, const Tensor& got, const Tensor& want,
                        double magnitude = 1) {
  const double bound = 0x1p-43 * std::max(magnitude, largest(want));
  expect_within(what, got, want.detach(), torch::full_like(want.detach(), bound));
}

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

using Function = std::function<Tensor(const std::vector<Tensor>&)>;

// Gradients of Σ g · f by autograd, g fixed. inputs are leaves made here.
inline std::vector<Tensor> gradients(const Function& f, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs)
    leaves.push_back(x.detach().clone().set_requires_grad(x.is_floating_point()));
  const Tensor out = f(leaves);
  (out * normal(out.sizes(), 99, out.scalar_type())).sum().backward();
  std::vector<Tensor> made;
  for (const Tensor& x : leaves) made.push_back(x.grad());
  return made;
}

// Autograd against central differences at h and 2h in float64. Their difference is three times what
// is left of the truncation error at h; beside it stand the roundings of f, 2^10 of them. At most
// about 40 elements of each input are moved.
inline void expect_gradients(const std::string& what, const Function& f,
                             const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> got = gradients(f, inputs);
  const torch::NoGradGuard no_grad;
  const Threads one(1);  // so small that waking others costs more
  const double h = 0x1p-13;
  std::vector<Tensor> moved;
  for (const Tensor& x : inputs) moved.push_back(x.detach().clone());
  const Tensor g = normal(f(moved).sizes(), 99);
  double size = 0;
  const auto value = [&] {
    const Tensor terms = f(moved) * g;
    size = std::max(size, terms.abs().sum().item<double>());
    return terms.sum().item<double>();
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_floating_point()) continue;
    ASSERT_TRUE(got[i].defined()) << what << ": input " << i << " has no gradient";
    ASSERT_EQ(inputs[i].scalar_type(), torch::kFloat64) << what;
    double* x = moved[i].data_ptr<double>();
    const Tensor grad = got[i].contiguous();
    const int64_t count = inputs[i].numel(), stride = (count / 40) | 1;
    for (int64_t k = 0; k < count; k += stride) {
      const double before = x[k];
      const auto slope = [&](double step) {
        x[k] = before + step;
        const double above = value();
        x[k] = before - step;
        const double below = value();
        x[k] = before;
        return (above - below) / (2 * step);
      };
      const double near = slope(h), far = slope(2 * h);
      const double want = (4 * near - far) / 3;
      const double bound = std::abs(near - far) / 3 + 0x1p-43 * (1 + size) / h;
      ASSERT_LE(bound, 1e-5 * (1 + size)) << what << ": no smooth function of input " << i;
      ASSERT_LE(std::abs(grad.data_ptr<double>()[k] - want), bound)
          << what << ": input " << i << ", element " << k << " of " << count << ", autograd "
          << grad.data_ptr<double>()[k] << ", differences " << want;
    }
  }
}

// What the Error says that `act` throws, or "".
template <class Act>
std::string error_of(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace pointwork::test
