// inspect and verify: what a path is, and whether it is whole.

#include <cstdio>

#include "apps/common.h"
#include "apps/examine.h"
#include "pointwork/base/check.h"

namespace pointwork::app {
namespace {

void print_value(const std::string& name, const Json& value, int depth) {
  if (value.is_object()) {
    std::printf("%*s%s\n", 2 * depth, "", name.c_str());
    for (const auto& [key, inner] : value.items()) print_value(key, inner, depth + 1);
  } else if (value.is_array() && value.size() > 8) {
    std::printf("%*s%-24s %zu entries\n", 2 * depth, "", name.c_str(), value.size());
  } else {
    std::printf("%*s%-24s %s\n", 2 * depth, "", name.c_str(),
                value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
}

int answer(const std::string& verb, const std::string& path, const Common& common, bool facts) {
  const Examination found = examine(path);
  const bool valid = found.problems.empty();
  if (common.json) {
    Json json = {{"kind", found.kind}, {"valid", valid}, {"problems", found.problems}};
    if (!valid) json["error"] = {{"verb", verb}, {"message", path + ": " + found.problems.front()}};
    for (const auto& [key, value] : found.facts.items()) json[key] = value;
    print_json(json);
  } else {
    std::printf("%s: %s, %s\n", path.c_str(), found.kind.c_str(), valid ? "valid" : "NOT valid");
    for (const std::string& problem : found.problems)
      std::printf("  problem: %s\n", problem.c_str());
    if (facts) {
      for (const auto& [key, value] : found.facts.items()) print_value(key, value, 1);
    }
  }
  if (valid) return 0;
  const size_t more = found.problems.size() - 1;
  std::fprintf(stderr, "pointwork %s: error: %s: %s%s\n", verb.c_str(), path.c_str(),
               found.problems.front().c_str(),
               more ? concat(" (and ", more, " more)").c_str() : "");
  return 1;
}

}  // namespace

Run add_inspect(CLI::App& command, Common& common) {
  const auto path = std::make_shared<std::string>();
  command
      .add_option("PATH", *path,
                  "a run, a checkpoint, a data set, a tokenizer or a .safetensors file")
      ->required();
  command.footer(
      "Examples:\n"
      "  pointwork inspect runs/quickstart-mod\n"
      "  pointwork inspect data/quickstart --json");
  return [=, &common] { return answer("inspect", *path, common, true); };
}

Run add_verify(CLI::App& command, Common& common) {
  const auto path = std::make_shared<std::string>();
  command
      .add_option("PATH", *path,
                  "a run, a checkpoint, a data set, a tokenizer or a .safetensors file")
      ->required();
  command.footer(
      "Hashes guard against damage, not against tampering. Status 1 if anything is wrong.\n"
      "Examples:\n"
      "  pointwork verify runs/quickstart-mod/checkpoints/step-300\n"
      "  pointwork verify data/quickstart --json");
  return [=, &common] { return answer("verify", *path, common, false); };
}

}  // namespace pointwork::app
