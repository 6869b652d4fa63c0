#pragma once
// Run folders for tests of the page: every file, with figures that can be worked out by hand.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pointwork::test {

using Json = nlohmann::ordered_json;

inline void put(const std::filesystem::path& file, const std::string& content) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

// Times that `part` stands in `text`.
inline size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

inline void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

struct RunFiles {
  std::string name = "mod";
  bool routed = true;
  int steps = 200;
  double flops_per_token = 10e6;
  double offset = 0;  // added to every loss
};

// The loss of step s is 3 + 100 / s + offset; validation, every 50 steps, is 0.1 above it; a step
// takes 0.5 s and 1,000 tokens.
inline std::string metrics_lines(const RunFiles& how) {
  std::string lines;
  for (int s = 1; s <= how.steps; ++s) {
    const double loss = 3 + 100.0 / s + how.offset;
    Json json = {{"step", s},
                 {"loss", loss},
                 {"grad_norm", nullptr},
                 {"tokens", 1000 * s},
                 {"flops", how.flops_per_token * 1000 * s},
                 {"seconds", 0.5 * s},
                 {"tokens_per_second", how.routed ? 3000 : 2000}};
    if (s % 50 == 0) {
      json["validation_loss"] = loss + 0.1;
      json["validation_loss_training"] = loss + 0.09;
      json["layers"] = Json::array();
      if (how.routed) {
        for (const char* layer : {"layers.1", "layers.3"}) {
          const bool off = std::string(layer) == "layers.3";
          json["layers"].push_back({{"layer", layer},
                                    {"capacity", 0.125},
                                    {"routed_share", off ? 0.155 : 0.13},
                                    {"router_mean", -0.5},
                                    {"router_std", 0.25},
                                    {"agreement", off ? 0.95 : 0.99},
                                    {"precision", nullptr},
                                    {"recall", 0.9}});
        }
      }
    }
    lines += json.dump() + "\n";
  }
  return lines;
}

inline Json run_json(const RunFiles& how) {
  const auto costs = [](double f) {
    return Json{{"forward", f / 3}, {"train", f}, {"decode", f / 3}};
  };
  return {
      {"name", how.name},
      {"kind", "run"},
      {"config", {{"model", {{"hidden_size", 64}, {"layers", {how.name}}}}}},
      {"parameters", 1234567},
      {"active_parameters", 1000000},
      {"flops_per_token", costs(how.flops_per_token)},
      {"dense_flops_per_token", costs(20e6)},
      {"total_steps", how.steps},
      {"tokens_per_step", 1000},
      {"device", "cpu"},
      {"threads", 2},
      {"precision", "float32"},
      {"dataset", {{"name", "words"}, {"tokens", 500000}, {"documents", 9}, {"vocab_size", 512}}}};
}

inline Json routing_json() {
  const Json layer = {{"name", "layers.1"},
                      {"capacity", 0.25},
                      {"entered", {1, 0, 0, 0}},
                      {"weight", {0.5, nullptr, -0.1, 0.2}},
                      {"decision", {2.0, -1.0, nullptr, -3.0}}};
  Json other = layer;
  other["name"] = "layers.3";
  other["entered"] = {1, 0, 0, 1};
  return {{"step", 200},
          {"routing", "inference"},
          {"tokens", {"In", " <b>", "\n", "</script>"}},
          {"layers", {layer, other}}};
}

inline void write_run(const std::filesystem::path& folder, const RunFiles& how) {
  put(folder / "run.json", run_json(how).dump());
  put(folder / "metrics.jsonl", metrics_lines(how));
  put(folder / "pointwork.toml", "[model]\nhidden_size = 64\n");
  put(folder / "samples.json", Json{{"step", 200},
                                    {"samples",
                                     {{{"prompt", "In the"},
                                       {"text", " end"},
                                       {"temperature", 0.8},
                                       {"seed", 7},
                                       {"tokens", {"In", " the", " end"}},
                                       {"share", {0.5, nullptr, 1.0}}}}}}
                                   .dump());
  if (!how.routed) return;
  put(folder / "routing.json", routing_json().dump());
  put(folder / "bench.json", Json{{"command", "bench step"},
                                  {"seconds", 0.08},
                                  {"against", "dense.toml"},
                                  {"against_seconds", 0.12},
                                  {"measured_saving", 1.5},
                                  {"ideal_saving", 2.0},
                                  {"realised_saving", 0.75}}
                                 .dump());
}

}  // namespace pointwork::test
