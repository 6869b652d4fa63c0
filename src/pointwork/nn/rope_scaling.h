#pragma once
// Rotary frequencies of a model that is to read further than it was first trained for.

#include <vector>

#include "pointwork/config/model_config.h"

namespace pointwork {

// theta^(−2i / dims) for the pairs of a head of `head_dim` that are rotated, scaled as
// rope_scaling says; empty where nothing is. linear (arXiv:2306.15595): all divided by factor.
// llama3: one of wavelength λ = 2π / f in a context of L = original_max_position_embeddings stays
// where λ < L / high_freq_factor, is divided where λ > L / low_freq_factor, and between them is
// (1 − s) f / factor + s f with s = (L / λ − low) / (high − low).
std::vector<double> rope_frequencies(const AttentionConfig& attention, int64_t head_dim);

}  // namespace pointwork
