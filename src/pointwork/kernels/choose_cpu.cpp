#include <algorithm>
#include <cmath>
#include <vector>

#include "pointwork/kernels/choose.h"

namespace pointwork::kernels::cpu {

int64_t top_rows(const float* score, const int32_t* start, int64_t segments, const uint8_t* valid, const int32_t* wanted,
                 int64_t each, int32_t* token) {
  for (int32_t t = 0; segments > 0 && t < start[segments]; ++t) {
    if (std::isnan(score[t]) && (!valid || valid[t])) return t;
  }
#pragma omp parallel if (segments > 1)
  {
    std::vector<int32_t> rows;
#pragma omp for schedule(static)
    for (int64_t b = 0; b < segments; ++b) {
      rows.clear();
      for (int32_t t = start[b]; t < start[b + 1]; ++t) {
        if (!valid || valid[t]) rows.push_back(t);
      }
      const int64_t k = std::clamp<int64_t>(std::min<int64_t>(wanted[b], each), 0, static_cast<int64_t>(rows.size()));
      const auto higher = [score](int32_t a, int32_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; };
      if (k < static_cast<int64_t>(rows.size())) std::nth_element(rows.begin(), rows.begin() + k, rows.end(), higher);
      std::sort(rows.begin(), rows.begin() + k);
      int32_t* out = token + b * each;
      std::copy(rows.begin(), rows.begin() + k, out);
      std::fill(out + k, out + each, -1);
    }
  }
  return -1;
}

}  // namespace pointwork::kernels::cpu
