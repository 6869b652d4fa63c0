#pragma once
// Two sets of weights, tensor by tensor.

#include <array>
#include <string>
#include <vector>

#include "pointwork/checkpoint/weight_files.h"

namespace pointwork {

// A tensor of both sets that is not the same in them.
struct TensorDifference {
  std::string name;
  std::array<std::string, 2> dtype;
  std::array<std::vector<int64_t>, 2> shape;
  // Whether the values below are known: shapes are the same, and LibTorch has both dtypes.
  bool compared = false;
  int64_t elements = 0, differing = 0;
  double largest = 0;   // |a - b|; infinite where one alone is NaN
  double relative = 0;  // |a - b| / max(|a|, |b|) of an element
};

struct WeightComparison {
  std::array<std::vector<std::string>, 2> only;  // names in the first, in the second, alone
  // Those that cannot be compared, then by `largest`, falling; it is 0 for equal values in another
  // dtype.
  std::vector<TensorDifference> differing;
  // Tensors of one dtype, shape and all values; 0 and -0 are one, NaN is itself.
  int64_t equal = 0;
  bool same() const { return only[0].empty() && only[1].empty() && differing.empty(); }
};

// Reads tensor by tensor, in float64: at any moment one of each set is in memory.
WeightComparison compare_weights(const WeightFiles& first, const WeightFiles& second);

}  // namespace pointwork
