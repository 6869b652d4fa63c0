#pragma once
// What an unknown key may have been meant for.

#include <string>
#include <vector>

namespace pointwork {

// "; did you mean 'train.steps'?": a name spelt almost so in the same section, the nearest path, or
// the same name elsewhere. Else the names that its section has.
std::string key_hint(const std::string& path, const std::vector<std::string>& keys,
                     const std::vector<std::string>& sections);

}  // namespace pointwork
