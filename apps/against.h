#pragma once
// inspect A --against B: where two sets of weights differ.

#include "apps/common.h"

namespace pointwork::app {

// Prints it; status 1 where they differ in anything. Each is a run, a
// checkpoint, a Hugging Face folder or a .safetensors file.
int inspect_against(const std::string& first, const std::string& second, const Common& common);

}  // namespace pointwork::app
