#pragma once
// What conversions of a dense model share: which layers change, and names in the new config.

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork {

// Layers offset, offset + every, … Error where the numbers choose none.
struct LayerPeriod {
  int64_t every = 2, offset = 1;
};
std::vector<int64_t> chosen_layers(const ModelConfig& model, const LayerPeriod& period);

// The name, with underscores where a branch is called so.
std::string unused_name(const Config& config, std::string name);

// Error naming the branch where the model routes anything; `done`: what cannot be done to it then.
void check_dense(const Config& config, const std::string& done);

// model.layers as a list that is repeated, as short as it can be.
void set_layers(ModelConfig& model, const std::vector<std::string>& names);

}  // namespace pointwork
