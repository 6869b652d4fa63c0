#include "pointwork/nn/flops.h"

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

double total_flops(const FlopParts& parts) {
  double sum = 0;
  for (const FlopPart& part : parts) sum += part.flops;
  return sum;
}

}  // namespace pointwork
