// flops: where the work of a model goes, before anything is run.

#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/common.h"
#include "apps/figures.h"
#include "pointwork/base/check.h"
#include "pointwork/log/metrics.h"
#include "pointwork/model/weightless.h"
#include "pointwork/train/memory.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string file, phase = "forward";
  int64_t sequence = 0;
};

double of_phase(const PhaseFlops& flops, const std::string& phase) {
  return phase == "train" ? flops.train : phase == "decode" ? flops.decode : flops.forward;
}

// Per token, of the phase asked for.
FlopParts parts_of(const Model& model, int64_t length, const Options& options) {
  Extent extent{.rows = {static_cast<double>(length)}};
  if (options.phase == "decode") extent.routing = Routing::inference;
  FlopParts parts = model.flops(extent);
  for (FlopPart& part : parts)
    part.flops *= (options.phase == "train" ? 3.0 : 1.0) / static_cast<double>(length);
  return parts;
}

// The layer or trunk part that a name belongs to: "layers.3".
std::string group_of(const std::string& name) {
  if (name.rfind("layers.", 0) != 0) return name;
  const size_t dot = name.find('.', 7);
  return dot == std::string::npos ? name : name.substr(0, dot);
}

struct Row {
  std::string name;
  double flops = 0, dense = 0, parameters = 0;
};

std::vector<Row> by_layer(const FlopParts& parts, const FlopParts& dense) {
  std::vector<Row> rows;
  const auto find = [&](const std::string& name) -> Row& {
    for (Row& row : rows) {
      if (row.name == name) return row;
    }
    rows.push_back({.name = name});
    return rows.back();
  };
  for (const FlopPart& part : parts) {
    Row& row = find(group_of(part.name));
    row.flops += part.flops;
    row.parameters += part.parameters;
  }
  for (const FlopPart& part : dense) find(group_of(part.name)).dense += part.flops;
  return rows;
}

void print_table(const std::vector<Row>& rows, const FlopParts& parts, const Figures& figures,
                 const Options& options) {
  std::printf("%s, FLOPs a token on sequences of %lld tokens (expected)\n\n", options.phase.c_str(),
              static_cast<long long>(figures.length));
  std::printf("%-44s %12s %12s %8s %12s\n", "part", "routed", "dense twin", "", "parameters");
  const auto line = [](const std::string& name, double flops, double dense, double parameters) {
    const std::string share =
        dense > 0 ? concat(static_cast<int>(std::lround(100 * flops / dense)), " %") : "";
    std::printf("%-44s %12s %12s %8s %12s\n", name.c_str(), in_units(flops).c_str(),
                dense < 0 ? "" : in_units(dense).c_str(), share.c_str(),
                parameters > 0 ? in_units(parameters).c_str() : "");
  };
  for (const Row& row : rows) {
    line(row.name, row.flops, row.dense, row.parameters);
    if (row.name.rfind("layers.", 0) != 0) continue;
    for (const FlopPart& part : parts) {
      if (group_of(part.name) == row.name && part.flops > 0) {
        line("    " + part.name.substr(row.name.size() + 1), part.flops, -1, part.parameters);
      }
    }
  }
  line("total", of_phase(figures.routed.expected, options.phase),
       of_phase(figures.dense.expected, options.phase), figures.routed.parameters);
  std::printf("\nbound (all slots, all rows where choices are causal): %s a token\n",
              in_units(of_phase(figures.routed.bound, options.phase)).c_str());
  if (figures.measured)
    std::printf("measured (at the run's last evaluation): %s a token\n",
                in_units(of_phase(*figures.measured, options.phase)).c_str());
  std::printf("key-value cache: %s a token (dense twin %s)\n", in_bytes(figures.kv_bytes).c_str(),
              in_bytes(figures.dense_kv_bytes).c_str());
  std::printf("memory of a training step: about %s\n", in_bytes(figures.memory.total()).c_str());
}

// Rows of one sequence that entered each routed branch, from the shares of the rows that reached
// it.
std::vector<Entered> entered_rows(const Json& layers, const char* share, double rows) {
  std::vector<Entered> all;
  std::map<std::string, double> entered;
  for (const Json& layer : layers) {
    const auto name = layer["layer"].get<std::string>();
    double reached = rows;  // of a route inside another, what that one let in
    for (const auto& [outer, let_in] : entered) {
      if (name.rfind(outer + ".", 0) == 0) reached = std::min(reached, let_in);
    }
    entered[name] = reached * layer[share].get<double>();
    if (reached > 0) all.push_back({.rows = {entered[name]}, .pairs = {}});
  }
  return all;
}

// A token, of a sequence whose rows entered the branches like this.
std::optional<double> measured_flops(const Model& model, Extent extent,
                                     const std::vector<Entered>& entered) {
  size_t next = 0;
  extent.entered = &entered;
  extent.next_entered = &next;
  try {
    const double flops = total_flops(model.flops(extent)) / extent.total();
    if (next == entered.size()) return flops;
  } catch (const Error&) {
    // The rounds of a repeat have routes each, but were told together.
  }
  return std::nullopt;
}

// From a run's last evaluation. None where it had none, or where its rounds cannot be told apart.
std::optional<PhaseFlops> measured_flops(const Model& model, const fs::path& run) {
  std::vector<Json> records = read_metrics(run / "metrics.jsonl");
  while (!records.empty() && !records.back().contains("layers")) records.pop_back();
  if (records.empty()) return std::nullopt;
  const Config& config = model.config();
  // What rows of routed attention saw depends on where they stood, which is not told.
  for (const auto& [name, branch] : config.branch) {
    const auto* attention = std::get_if<AttentionConfig>(&branch.form);
    if (attention && attention->projection_route) return std::nullopt;
  }
  const Json& layers = records.back()["layers"];
  const auto rows = static_cast<double>(config.train.sequence_length);
  Extent extent{.rows = {rows}, .step = records.back()["step"].get<int64_t>()};
  const auto forward = measured_flops(model, extent, entered_rows(layers, "capacity", rows));
  extent.routing = Routing::inference;
  const auto decode = measured_flops(model, extent, entered_rows(layers, "routed_share", rows));
  if (!forward || !decode) return std::nullopt;
  return PhaseFlops{*forward, 3 * *forward, *decode};
}

int run(const Options& options, const Common& common) {
  const bool of_run = fs::is_directory(options.file);
  Config config =
      load_config(of_run ? fs::path(options.file) / "pointwork.toml" : fs::path(options.file),
                  common.overrides);
  if (options.sequence > 0) {
    check(config.model.position_embedding != PositionEmbedding::learned ||
              options.sequence <= config.model.max_position_embeddings,
          "--sequence ", options.sequence, " is more than the ",
          config.model.max_position_embeddings, " learned positions of the model");
    config.train.sequence_length = options.sequence;
  }
  check(config.model.vocab_size > 0, options.file,
        ": model.vocab_size is 0 (the data set's), so nothing can be counted; give "
        "--model.vocab_size=N");
  const Weightless weightless;
  const Model model(config), twin(dense_twin(config));
  Figures figures = figures_of(model, twin);
  const FlopParts parts = parts_of(model, figures.length, options),
                  dense = parts_of(twin, figures.length, options);
  if (of_run && options.sequence == 0) figures.measured = measured_flops(model, options.file);
  if (common.json) {
    Json json = to_json(figures);
    json["phase"] = options.phase;
    json["parts"] = parts_json(parts);
    json["dense_parts"] = parts_json(dense);
    print_json(json);
  } else {
    print_table(by_layer(parts, dense), parts, figures, options);
  }
  return 0;
}

}  // namespace

Run add_flops(CLI::App& command, Common& common) {
  const auto options = std::make_shared<Options>();
  command
      .add_option("CONFIG", options->file,
                  "a TOML file, or a run: then also measured, at its last evaluation")
      ->required();
  command
      .add_option("--sequence", options->sequence,
                  "tokens a sequence (default: train.sequence_length)")
      ->type_name("N")
      ->check(whole_number(1, 1 << 24));
  command
      .add_option("--phase", options->phase,
                  "of what: train is 3 x forward, decode has causal choices")
      ->type_name("train|forward|decode")
      ->check(one_of({"train", "forward", "decode"}))
      ->capture_default_str();
  command.footer(
      "A multiply-add is 2 FLOPs; matrix products and the unmasked attention pairs count, "
      "everything else is 0.\n"
      "Examples:\n"
      "  pointwork flops configs/mod.toml\n"
      "  pointwork flops configs/mod.toml --phase decode --branch.mod.route.capacity=0.25 --json");
  return [=, &common] { return run(*options, common); };
}

}  // namespace pointwork::app
