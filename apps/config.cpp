// config show | check | explain | reference

#include <cstdio>

#include "apps/common.h"
#include "pointwork/base/check.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string file, key;
};

int show(const Options& options, const Common& common) {
  const Config config = load_config(options.file, common.overrides);
  std::printf("%s", common.json ? (to_json(config) + "\n").c_str() : to_toml(config).c_str());
  return 0;
}

int check_config(const Options& options, const Common& common) {
  std::vector<std::string> found, doubtful;
  try {
    doubtful = remarks(load_config(options.file, common.overrides));
  } catch (const ConfigError& error) {
    found = error.problems;
  }
  if (common.json) {
    Json json = {{"valid", found.empty()}, {"problems", found}, {"remarks", doubtful}};
    if (!found.empty()) json["error"] = failure_of("config", options.file, found);
    print_json(json);
  } else {
    for (const std::string& problem : found) std::printf("%s\n", problem.c_str());
    if (found.empty()) std::printf("%s: no problem found\n", options.file.c_str());
    for (const std::string& remark : doubtful)
      std::printf("perhaps not meant: %s\n", remark.c_str());
  }
  return found.empty() ? 0 : report_problems(failure_of("config", options.file, found));
}

int explain_key(const Options& options, const Common& common) {
  const Config config = load_config(options.file, common.overrides);
  const std::string text = explain(config, options.key);
  if (!common.json) {
    std::printf("%s", text.c_str());
    return 0;
  }
  Json keys = Json::array();
  for (const KeyFacts& key : all_keys(config)) {
    if (!options.key.empty() && key.path != options.key &&
        key.path.rfind(options.key + ".", 0) != 0)
      continue;
    keys.push_back({{"key", key.path},
                    {"value", Json::parse(key.value)},
                    {"default", key.required ? Json(nullptr) : Json::parse(key.default_value)},
                    {"type", key.type},
                    {"unit", key.unit},
                    {"range", key.range},
                    {"help", key.help}});
  }
  print_json({{"keys", keys}});
  return 0;
}

}  // namespace

Run add_config(CLI::App& command, Common& common) {
  command.require_subcommand(1);
  command.footer(
      "Examples:\n"
      "  pointwork config show configs/mod.toml --branch.mod.route.capacity=0.25\n"
      "  pointwork config check configs/mod.toml\n"
      "  pointwork config explain configs/mod.toml branch.mod.route");
  const auto options = std::make_shared<Options>();
  const auto sub = [&](const char* name, const char* about) {
    CLI::App* one = command.add_subcommand(name, about);
    one->allow_extras();
    return one;
  };
  CLI::App* shows = sub("show", "print the resolved configuration as TOML, or as JSON with --json");
  CLI::App* checks =
      sub("check",
          "list every problem of a configuration, and what is probably not meant; status 1 if "
          "there is a problem");
  CLI::App* explains =
      sub("explain", "say what a key, or every key of a section, means, and its value here");
  CLI::App* reference =
      sub("reference", "print every key there is, as Markdown (docs/config.md is made by it)");
  for (CLI::App* one : {shows, checks, explains})
    one->add_option("CONFIG", options->file, "a TOML file")->required();
  explains->add_option("KEY", options->key, "as branch.mod.route.capacity; default: every key");
  return [=, &common] {
    if (shows->parsed()) return show(*options, common);
    if (checks->parsed()) return check_config(*options, common);
    if (explains->parsed()) return explain_key(*options, common);
    check(reference->parsed(), "config needs show, check, explain or reference");
    if (common.json)
      print_json({{"markdown", config_reference()}});
    else
      std::printf("%s", config_reference().c_str());
    return 0;
  };
}

}  // namespace pointwork::app
