#include "pointwork/route/flops.h"

#include <algorithm>
#include <numeric>

namespace pointwork {

double Extent::total() const { return std::accumulate(rows.begin(), rows.end(), 0.0); }

double Extent::share() const { return root_rows > 0 ? total() / root_rows : 0; }

double Extent::pairs() const {
  double sum = 0;
  for (size_t b = 0; b < rows.size(); ++b) {
    const double n = rows[b];
    sum += n * (n + 1) / 2 + (past.empty() ? 0 : n * past[b]);
  }
  return sum;
}

double Extent::masked_pairs() const {
  double sum = 0;
  for (const double n : rows) sum += n * (n - 1) / 2;
  return std::max(sum, 0.0);
}

double parameter_count(const torch::nn::Module& module) {
  double count = 0;
  for (const auto& parameter : module.parameters()) count += static_cast<double>(parameter.numel());
  return count;
}

double total_flops(const FlopParts& parts) {
  double sum = 0;
  for (const FlopPart& part : parts) sum += part.flops;
  return sum;
}

double total_masked(const FlopParts& parts) {
  double sum = 0;
  for (const FlopPart& part : parts) sum += part.masked;
  return sum;
}

double active_parameters(const FlopParts& parts) {
  double sum = 0;
  for (const FlopPart& part : parts) sum += part.active;
  return sum;
}

}  // namespace pointwork
