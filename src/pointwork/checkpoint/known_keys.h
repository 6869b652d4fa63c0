#pragma once
// Keys of config.json that say nothing about what a model computes.

#include <string>

namespace pointwork {

// Of files, training, generation and tokens: carried through as they are.
bool is_harmless(const std::string& key);

}  // namespace pointwork
