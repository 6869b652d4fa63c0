#include "pointwork/config/hint.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

std::string parent_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string last_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

bool has_key(const RoutedConfig& routed, const std::string& path) {
  const std::vector<KeyFacts> keys = keys_of(routed);
  return std::any_of(keys.begin(), keys.end(), [&](const KeyFacts& key) {
    const size_t at = path.find(concat(".", key.path));
    const size_t end = at + key.path.size() + 1;
    return at != std::string::npos && (end == path.size() || path[end] == '.');
  });
}

// A key of a route that goes with another choice than the one given. Empty for any other.
std::string of_another_choice(const std::string& path) {
  RoutedConfig depth, token;
  token.route.choice = ChoiceKind::token;
  const bool in_depth = has_key(depth, path), in_token = has_key(token, path);
  if (in_depth == in_token) return "";
  return in_token ? "; it goes with choice = \"token\"" : "; choice = \"token\" has no such key";
}

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
    if (const std::string other = of_another_choice(path); !other.empty()) return other;
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
