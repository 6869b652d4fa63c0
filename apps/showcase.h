#pragma once
// What a finished run leaves for its page: a passage with its routes, and samples.

#include <filesystem>

#include "pointwork/data/loader.h"
#include "pointwork/model/model.h"

namespace pointwork::app {

// Writes routing.json (a validation passage under inference routing and, of token choice, which
// tokens choose which expert, and what they choose from round to round) and samples.json into the
// run's folder.
void write_showcase(const std::filesystem::path& run, Model& model, const Dataset& dataset,
                    int64_t step);

}  // namespace pointwork::app
