#include "pointwork/nn/rope_scaling.h"

#include <algorithm>
#include <numbers>

#include "pointwork/kernels/rope.h"

namespace pointwork {

std::vector<double> rope_frequencies(const AttentionConfig& attention, int64_t head_dim) {
  std::vector<double> all =
      kernels::cpu::rope_frequencies(rotary_width(attention, head_dim), attention.rope_theta);
  const RopeScalingConfig& scaling = attention.rope_scaling;
  if (scaling.kind == RopeScalingKind::none) return all;
  for (double& frequency : all) {
    double kept = 0;  // share of the frequency that stays
    if (scaling.kind == RopeScalingKind::llama3) {
      const double turns = static_cast<double>(scaling.original_max_position_embeddings) *
                           frequency / (2 * std::numbers::pi);
      kept = std::clamp(
          (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor),
          0.0, 1.0);
    }
    frequency = (1 - kept) * frequency / scaling.factor + kept * frequency;
  }
  return all;
}

}  // namespace pointwork
