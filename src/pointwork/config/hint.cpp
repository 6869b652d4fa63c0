#include "pointwork/config/hint.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"
#include "pointwork/config/visit.h"

namespace pointwork {
namespace {

std::string parent_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string last_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

std::string key_hint(const std::string& path, const std::vector<std::string>& keys,
                     const std::vector<std::string>& sections) {
  const auto meant = [](const std::string& key) { return concat("; did you mean '", key, "'?"); };
  const auto is_section = [&](const std::string& section) {
    return section.empty() ||
           std::find(sections.begin(), sections.end(), section) != sections.end();
  };
  const auto names_in = [&](const std::string& section) {
    std::vector<std::string> names;
    for (const auto* paths : {&keys, &sections}) {
      for (const std::string& one : *paths) {
        const std::string name = last_of(one);
        if (parent_of(one) == section && std::find(names.begin(), names.end(), name) == names.end())
          names.push_back(name);
      }
    }
    return names;
  };

  std::string section = parent_of(path);
  const std::string name = last_of(path);
  if (is_section(section)) {
    const std::string close = nearest(name, names_in(section));
    if (!close.empty()) return meant(section.empty() ? close : section + "." + close);
  } else {
    std::vector<std::string> all = keys;
    all.insert(all.end(), sections.begin(), sections.end());
    const std::string close = nearest(path, all);
    if (!close.empty()) return meant(close);
  }
  for (const auto* paths : {&keys, &sections}) {
    for (const std::string& one : *paths) {
      if (last_of(one) == name) return meant(one);
    }
  }
  while (!is_section(section)) section = parent_of(section);
  return concat("; ", section.empty() ? "a config" : concat("[", section, "]"), " has ",
                joined(names_in(section)));
}

}  // namespace pointwork
