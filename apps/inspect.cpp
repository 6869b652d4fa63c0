// inspect and verify: what a path is, and whether it is whole; where two sets of weights differ.

#include <algorithm>
#include <cstdio>

#include "apps/against.h"
#include "apps/common.h"
#include "apps/examine.h"
#include "pointwork/base/check.h"

namespace pointwork::app {
namespace {

constexpr size_t kTensorsShown = 12;

void print_tensors(const Json& tensors, int depth) {
  std::printf("%*s%-24s %zu\n", 2 * depth, "", "tensors", tensors.size());
  for (size_t i = 0; i < std::min(tensors.size(), kTensorsShown); ++i)
    std::printf("%*s%-48s %-5s %s\n", 2 * depth + 2, "",
                tensors[i]["name"].get<std::string>().c_str(),
                tensors[i]["dtype"].get<std::string>().c_str(), tensors[i]["shape"].dump().c_str());
  if (tensors.size() > kTensorsShown)
    std::printf("%*s... and %zu more (--json lists all)\n", 2 * depth + 2, "",
                tensors.size() - kTensorsShown);
}

// A config has a hundred keys; `config show` is there to print them.
void print_config(const Json& config, int depth) {
  const Json& model = config["model"];
  std::string layers;
  for (const char* part : {"first", "repeat", "last"}) {
    for (const Json& one : model["layers"][part])
      layers += (layers.empty() ? "" : ", ") + one.get<std::string>();
  }
  std::printf("%*s%-24s %s layers of width %s (%s), vocabulary %s\n", 2 * depth, "", "model",
              model["num_hidden_layers"].dump().c_str(), model["hidden_size"].dump().c_str(),
              layers.c_str(), model["vocab_size"].dump().c_str());
}

void print_value(const std::string& name, const Json& value, int depth) {
  if (name == "tensors") {
    print_tensors(value, depth);
  } else if (name == "config") {
    print_config(value, depth);
  } else if (value.is_object()) {
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
    if (!valid) json["error"] = failure_of(verb, path, found.problems);
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
  return valid ? 0 : report_problems(failure_of(verb, path, found.problems));
}

}  // namespace

Run add_inspect(CLI::App& command, Common& common) {
  const auto path = std::make_shared<std::string>();
  command
      .add_option(
          "PATH", *path,
          "a run, a checkpoint, a Hugging Face folder, a data set, a tokenizer (tokenizer.json, "
          "SentencePiece's .model, llama2.c's .bin) or a .safetensors file")
      ->required();
  const auto other = std::make_shared<std::string>();
  command
      .add_option("--against", *other,
                  "other weights, compared with PATH's tensor by tensor: a run, a checkpoint, a "
                  "Hugging Face folder or a .safetensors file")
      ->type_name("PATH");
  command.footer(
      "--against lists the names that only one has, and the tensors that differ, by their largest "
      "difference |a - b| (relative: of\n"
      "|a - b| / max(|a|, |b|)). Names are compared as they stand in the files. Status 1 if "
      "anything differs.\n"
      "Examples:\n"
      "  pointwork inspect quickstart/bible/mod\n"
      "  pointwork inspect quickstart/bible/data --json");
  return [=, &common] {
    return other->empty() ? answer("inspect", *path, common, true)
                          : inspect_against(*path, *other, common);
  };
}

Run add_verify(CLI::App& command, Common& common) {
  const auto path = std::make_shared<std::string>();
  command
      .add_option(
          "PATH", *path,
          "a run, a checkpoint, a Hugging Face folder, a data set, a tokenizer (tokenizer.json, "
          "SentencePiece's .model, llama2.c's .bin) or a .safetensors file")
      ->required();
  command.footer(
      "Hashes guard against damage, not against tampering. Status 1 if anything is wrong.\n"
      "Examples:\n"
      "  pointwork verify quickstart/bible/mod\n"
      "  pointwork verify quickstart/bible/data --json");
  return [=, &common] { return answer("verify", *path, common, false); };
}

}  // namespace pointwork::app
