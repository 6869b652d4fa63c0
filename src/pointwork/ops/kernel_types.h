#pragma once
// From tensors to the kernels' element types.

#include <torch/types.h>

#include "pointwork/base/check.h"
#include "pointwork/kernels/bfloat16.h"

namespace pointwork {

using torch::Tensor;

// Calls body(T{}) with the kernels' type of x's elements: float, double or BFloat16.
template <class Body>
decltype(auto) dispatch_type(const Tensor& x, const Body& body) {
  switch (x.scalar_type()) {
    case torch::kFloat32:
      return body(float{});
    case torch::kFloat64:
      return body(double{});
    case torch::kBFloat16:
      return body(kernels::BFloat16{});
    default:
      fail("expected float32, float64 or bfloat16 but found ", x.scalar_type());
  }
}

// The two BFloat16 types are the same two bytes.
template <class T>
T* kernel_data(const Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

}  // namespace pointwork
