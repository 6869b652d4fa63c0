#pragma once
// Every key and section of a struct in order, told.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pointwork/config/config.h"
#include "pointwork/config/visit.h"

namespace pointwork {

// JSON's strings are TOML's.
inline std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

inline std::string toml_value(bool value) { return value ? "true" : "false"; }
inline std::string toml_value(int64_t value) { return std::to_string(value); }
inline std::string toml_value(const std::string& value) { return quoted(value); }
inline std::string toml_value(double value) {
  std::string text = number_text(value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}
template <class E>
requires std::is_enum_v<E> std::string toml_value(E value) {
  return quoted(std::string(name_of(value)));
}
inline std::string toml_value(const std::vector<std::string>& value) {
  std::string text = "[";
  for (size_t i = 0; i < value.size(); ++i) text += (i ? ", " : "") + quoted(value[i]);
  return text + "]";
}

inline std::vector<std::string> branch_kinds() {
  return {std::begin(BranchConfig::kinds), std::end(BranchConfig::kinds)};
}

inline std::string type_of(bool) { return "true or false"; }
inline std::string type_of(int64_t) { return "whole number"; }
inline std::string type_of(double) { return "number"; }
inline std::string type_of(const std::string&) { return "text"; }
inline std::string type_of(const std::vector<std::string>&) { return "list of names"; }
template <class E>
requires std::is_enum_v<E> std::string type_of(E) { return "one of " + joined(enum_names<E>()); }

struct SectionFacts {
  std::string path, help;
};

// Every leaf in order, with its path; and every section, in the order of their first leaves.
class Walk {
 public:
  std::vector<KeyFacts> keys;
  std::vector<SectionFacts> sections;

  template <HasFields T>
  void walk(const std::string& path, const T& value) {
    const auto visit = [&](const char* name, const auto& field, const Field& facts) {
      leaf(path.empty() ? name : path + "." + name, field, facts);
    };
    T::fields(value, visit);
  }

 private:
  template <HasFields T>
  void leaf(const std::string& path, const T& value, const Field& facts) {
    sections.push_back({path, std::string(facts.help)});
    walk(path, value);
  }
  template <HasFields T>
  void leaf(const std::string& path, const std::optional<T>& value, const Field& facts) {
    if (value) leaf(path, *value, facts);
  }
  void leaf(const std::string& path, const std::map<std::string, BranchConfig>& value,
            const Field& facts) {
    sections.push_back({path, std::string(facts.help)});
    for (const auto& [name, branch] : value) {
      const std::string inner = path + "." + name;
      sections.push_back({inner, branch.about()});
      keys.push_back({.path = inner + ".kind",
                      .type = "one of " + joined(branch_kinds()),
                      .help = concat("what the branch is; ", branch.kind(), ": ", branch.about()),
                      .value = quoted(branch.kind()),
                      .required = true});
      std::visit([&](const auto& form) { walk(inner, form); }, branch.form);
    }
  }
  template <class T>
  requires(!HasFields<T>) void leaf(const std::string& path, const T& value, const Field& facts) {
    keys.push_back({.path = path,
                    .type = type_of(value),
                    .unit = std::string(facts.unit),
                    .range = range_text(facts),
                    .help = std::string(facts.help),
                    .value = toml_value(value),
                    .required = facts.required});
  }
};

template <HasFields T>
std::vector<KeyFacts> keys_of(const T& value) {
  Walk walk;
  walk.walk("", value);
  return std::move(walk.keys);
}

}  // namespace pointwork
