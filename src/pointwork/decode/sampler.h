#pragma once
// From logits to a token.

#include <cstdint>
#include <span>
#include <vector>

namespace pointwork {

struct SamplerOptions {
  double temperature = 1;  // 0: greedy, ties to the lower id
  int64_t top_k = 0;       // only the k most likely; 0: all
  double top_p = 1;  // the fewest most likely tokens that hold this probability (Holtzman et al.,
                     // arXiv:1904.09751)
  double min_p = 0;  // at least this times the highest probability (arXiv:2407.01082)
  double repetition_penalty = 1;  // divides positive and multiplies negative logits of tokens seen
                                  // (Keskar et al., arXiv:1909.05858)
};

// Error naming the option that is out of range.
void validate(const SamplerOptions& options);

// Draws from the logits [V] of one row. `uniform` in (0, 1) makes the draw a pure function. `seen`:
// tokens of prompt and continuation.
int32_t sample_token(std::span<const float> logits, std::span<const int32_t> seen,
                     const SamplerOptions& options, double uniform);

}  // namespace pointwork
