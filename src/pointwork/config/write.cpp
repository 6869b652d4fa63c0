#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "pointwork/config/config.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

// [model], [branch.mod], [train]: TOML opens a table once, so what is nested in it has dotted keys.
std::string table_of(const std::string& path) {
  const size_t dot = path.find('.');
  const std::string first = path.substr(0, dot);
  return first == "branch" ? path.substr(0, path.find('.', dot + 1)) : first;
}

}  // namespace

std::string number_text(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

std::string range_text(const Field& facts) {
  std::string text;
  if (std::isfinite(facts.min))
    text = (facts.above_min ? "above " : "at least ") + number_text(facts.min);
  if (std::isfinite(facts.max)) {
    if (!text.empty()) text += " and ";
    text += (facts.below_max ? "below " : "at most ") + number_text(facts.max);
  }
  return text;
}

std::vector<KeyFacts> all_keys(const Config& config) {
  Config usual;
  for (const auto& [name, branch] : config.branch) {
    const auto fresh = [](const auto& form) -> BranchConfig {
      std::decay_t<decltype(form)> usual;
      // Which keys there are depends on it.
      if constexpr (requires { usual.route; }) usual.route.choice = form.route.choice;
      if constexpr (requires { usual.rope_scaling; })
        usual.rope_scaling.kind = form.rope_scaling.kind;
      if constexpr (requires { usual.projection_route; }) {
        if (form.projection_route)
          usual.projection_route.emplace().choice = form.projection_route->choice;
      }
      return {usual};
    };
    usual.branch[name] = std::visit(fresh, branch.form);
  }
  std::vector<KeyFacts> keys = keys_of(config);
  const std::vector<KeyFacts> defaults = keys_of(usual);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].required) continue;
    const std::string& path = keys[i].path;
    keys[i].default_value = path.ends_with(".route.choice") ? toml_value(RouteConfig{}.choice)
                            : path.ends_with(".rope_scaling.kind")
                                ? toml_value(RopeScalingConfig{}.kind)
                                : defaults[i].value;
  }
  return keys;
}

std::string to_toml(const Config& config) {
  std::string text, table;
  for (const KeyFacts& key : all_keys(config)) {
    const std::string here = table_of(key.path);
    if (here != table) text += (table.empty() ? "[" : "\n[") + here + "]\n";
    table = here;
    text += key.path.substr(here.size() + 1) + " = " + key.value + "\n";
  }
  return text;
}

std::string to_json(const Config& config) {
  Json root = Json::object();
  for (const KeyFacts& key : all_keys(config)) {
    Json* at = &root;
    size_t begin = 0;
    for (size_t dot = key.path.find('.'); dot != std::string::npos;
         dot = key.path.find('.', begin)) {
      at = &(*at)[key.path.substr(begin, dot - begin)];
      begin = dot + 1;
    }
    (*at)[key.path.substr(begin)] =
        Json::parse(key.value);  // a TOML value of these types is a JSON value
  }
  return root.dump(2);
}

std::vector<std::string> changed_keys(const Config& a, const Config& b) {
  std::map<std::string, std::string> before;
  for (const KeyFacts& key : all_keys(a)) before[key.path] = key.value;
  std::vector<std::string> changed;
  for (const KeyFacts& key : all_keys(b)) {
    const auto found = before.find(key.path);
    if (found == before.end() || found->second != key.value) changed.push_back(key.path);
    if (found != before.end()) before.erase(found);
  }
  for (const auto& [path, value] : before) changed.push_back(path);
  return changed;
}

}  // namespace pointwork
