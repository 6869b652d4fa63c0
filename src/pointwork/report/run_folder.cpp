#include "pointwork/report/run_folder.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/report/json_fields.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostCount = 1 << 16;

PhaseCosts read_costs(const JsonFields& f, const char* key) {
  const JsonFields costs = f.object(key);
  return {costs.number("forward"), costs.number("train"), costs.number("decode")};
}

RunFacts read_facts(const JsonFields& f) {
  RunFacts facts;
  facts.parameters = f.number("parameters");
  facts.active_parameters = f.number("active_parameters");
  facts.flops = read_costs(f, "flops_per_token");
  facts.dense_flops = read_costs(f, "dense_flops_per_token");
  facts.total_steps = f.number("total_steps");
  facts.tokens_per_step = f.number("tokens_per_step");
  facts.threads = f.number("threads");
  facts.device = f.text("device");
  facts.precision = f.text("precision");
  const JsonFields dataset = f.object("dataset");
  facts.dataset = dataset.text("name");
  facts.dataset_tokens = dataset.number("tokens");
  facts.documents = dataset.number("documents");
  facts.vocab_size = dataset.number("vocab_size");
  facts.config = f.object("config").json();
  return facts;
}

// A count that must lie in [1, most].
size_t read_count(const JsonFields& f, const char* key, size_t most) {
  const double count = f.number(key);
  check(count >= 1 && count <= static_cast<double>(most), f.where(), ": ", key, " must be 1 to ",
        most, " but is ", count);
  return static_cast<size_t>(count);
}

std::optional<ExpertMetrics> read_experts(const JsonFields& layer) {
  const JsonFields f = layer.object("experts");
  ExpertMetrics e;
  e.load = f.numbers("load");
  if (e.load.empty()) return std::nullopt;
  e.num_experts = read_count(f, "num_experts", e.load.size());
  e.load_entropy = f.number("load_entropy");
  e.entropy = f.number("entropy");
  e.confidence = f.number("confidence");
  e.dropped_share = f.number("dropped_share");
  e.noop_share = f.number("noop_share");
  return e;
}

LayerMetrics read_layer(const JsonFields& f) {
  return {.name = f.text("layer"),
          .capacity = f.number("capacity"),
          .routed_share = f.number("routed_share"),
          .router_mean = f.number("router_mean"),
          .router_std = f.number("router_std"),
          .agreement = f.number("agreement"),
          .precision = f.number("precision"),
          .recall = f.number("recall"),
          .experts = read_experts(f)};
}

StepMetrics read_step(const JsonFields& f) {
  StepMetrics m;
  m.step = f.number("step");
  check(std::isfinite(m.step), f.where(), " has no step");
  m.loss = f.number("loss");
  m.tokens = f.number("tokens");
  m.flops = f.number("flops");
  m.seconds = f.number("seconds");
  m.tokens_per_second = f.number("tokens_per_second");
  m.mfu = f.number("mfu");
  m.peak_memory_bytes = f.number("peak_memory_bytes");
  m.skipped = f.flag("skipped");
  m.validation_loss = f.number("validation_loss");
  m.validation_loss_training = f.number("validation_loss_training");
  m.bits_per_byte = f.number("validation_bits_per_byte");
  m.routed_share = f.number("routed_share");
  m.agreement = f.number("agreement");
  m.precision = f.number("precision");
  m.recall = f.number("recall");
  for (const JsonFields& layer : f.objects("layers")) m.layers.push_back(read_layer(layer));
  m.alarms = f.texts("alarms");
  return m;
}

std::vector<StepMetrics> read_metrics(const fs::path& file) {
  const std::string content = read_file(file);
  std::vector<StepMetrics> all;
  size_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    ++number;
    const size_t end = content.find('\n', begin);
    const bool last = end == std::string::npos || end + 1 == content.size();
    const std::string line = content.substr(begin, end - begin);
    begin = end == std::string::npos ? content.size() : end + 1;
    const std::string where = concat(file.string(), ", line ", number);
    if (line.empty()) continue;
    const auto json = nlohmann::ordered_json::parse(line, nullptr, false);
    if (json.is_discarded() && last) break;
    check(!json.is_discarded(), where, ": not JSON; the file is damaged");
    StepMetrics step = read_step(JsonFields(json, where));
    while (!all.empty() && all.back().step >= step.step) all.pop_back();
    all.push_back(std::move(step));
  }
  return all;
}

Passage read_passage(const JsonFields& f) {
  Passage passage{.step = f.number("step"),
                  .routing = f.text("routing"),
                  .tokens = f.texts("tokens"),
                  .layers = {}};
  for (const JsonFields& l : f.objects("layers")) {
    PassageLayer layer{.name = l.text("name"),
                       .capacity = l.number("capacity"),
                       .entered = {},
                       .weight = l.numbers("weight"),
                       .decision = l.numbers("decision"),
                       .choice = l.numbers("choice")};
    for (const double entered : l.numbers("entered")) layer.entered.push_back(entered > 0.5);
    const size_t count = passage.tokens.size();
    layer.weight.resize(layer.weight.empty() ? count : layer.weight.size(), kUnknown);
    layer.decision.resize(layer.decision.empty() ? count : layer.decision.size(), kUnknown);
    check(layer.entered.size() == count && layer.weight.size() == count &&
              layer.decision.size() == count,
          l.where(), ": entered, weight and decision must have one entry for each of the ", count,
          " tokens");
    if (!layer.choice.empty()) {
      layer.num_experts = read_count(l, "num_experts", kMostCount);
      layer.top_k = read_count(l, "top_k", kMostCount);
      check(layer.choice.size() == count * layer.top_k, l.where(),
            ": choice must have top_k = ", layer.top_k, " entries for each of the ", count,
            " tokens");
    }
    passage.layers.push_back(std::move(layer));
  }
  return passage;
}

Affinity read_affinity(const JsonFields& f) {
  Affinity affinity{.tokens = f.number("tokens"), .least = f.number("least"), .layers = {}};
  for (const JsonFields& l : f.objects("layers")) {
    LayerAffinity layer{.name = l.text("name"), .choices = {}};
    for (const JsonFields& c : l.objects("choices")) {
      ExpertTokens one{.share = c.number("share"),
                       .tokens = c.texts("tokens"),
                       .lift = c.numbers("lift"),
                       .seen = c.numbers("seen")};
      check(one.lift.size() == one.tokens.size() && one.seen.size() == one.tokens.size(), c.where(),
            ": lift and seen must have one entry for each of the ", one.tokens.size(), " tokens");
      layer.choices.push_back(std::move(one));
    }
    layer.num_experts = read_count(l, "num_experts", layer.choices.size());
    affinity.layers.push_back(std::move(layer));
  }
  return affinity;
}

ModuleRounds read_rounds(const JsonFields& f) {
  ModuleRounds one{.name = f.text("name"),
                   .experts = read_count(f, "num_experts", kMostCount),
                   .top_k = read_count(f, "top_k", kMostCount),
                   .rounds = read_count(f, "rounds", kMostCount),
                   .share = f.numbers("share"),
                   .next = f.numbers("next"),
                   .distinct_paths = f.number("distinct_paths"),
                   .paths = {}};
  const size_t states = one.states(), rounds = one.rounds;
  check(one.share.size() == rounds * states, f.where(), ": share must have ", rounds, " x ", states,
        " entries but has ", one.share.size());
  check(one.next.size() == (rounds - 1) * states * states, f.where(), ": next must have ",
        rounds - 1, " x ", states, " x ", states, " entries but has ", one.next.size());
  for (const JsonFields& p : f.objects("paths")) {
    ModulePath path{.choice = {}, .share = p.number("share")};
    for (const double choice : p.numbers("choice")) {
      check(choice >= -1 && choice < static_cast<double>(states), p.where(),
            ": choice must hold -1 to ", states - 1, " but has ", choice);
      path.choice.push_back(static_cast<int32_t>(choice));
    }
    check(path.choice.size() == rounds * one.top_k, p.where(), ": choice must have ", rounds, " x ",
          one.top_k, " entries but has ", path.choice.size());
    one.paths.push_back(std::move(path));
  }
  return one;
}

Modules read_modules(const JsonFields& f) {
  Modules modules{.tokens = f.number("tokens"), .branches = {}};
  for (const JsonFields& one : f.objects("branches")) modules.branches.push_back(read_rounds(one));
  return modules;
}

Modules modules_of(const Passage& passage) {
  std::vector<RoundChoices> layers;
  for (const PassageLayer& layer : passage.layers) {
    if (layer.top_k == 0) continue;
    layers.push_back({layer.name, layer.num_experts, layer.top_k, {}});
    for (const double choice : layer.choice)
      layers.back().choice.push_back(choice >= 0 ? static_cast<int32_t>(choice) : -1);
  }
  ModuleCounts counts;
  counts.add(layers);
  return {static_cast<double>(passage.tokens.size()), counts.read()};
}

SampleText read_sample(const JsonFields& f) {
  SampleText sample{.prompt = f.text("prompt"),
                    .text = f.text("text"),
                    .temperature = f.number("temperature"),
                    .seed = f.number("seed"),
                    .tokens = f.texts("tokens"),
                    .share = f.numbers("share")};
  if (sample.share.size() != sample.tokens.size()) sample.tokens.clear();
  return sample;
}

BenchResult read_bench(const JsonFields& f) {
  BenchResult b;
  b.name = f.text("command").empty() ? f.text("name") : f.text("command");
  b.against = f.text("against");
  b.device = f.text("device");
  b.seconds = f.number("seconds");
  b.against_seconds = f.number("against_seconds");
  b.tokens_per_second = f.number("tokens_per_second");
  b.measured_saving = f.number("measured_saving");
  b.ideal_saving = f.number("ideal_saving");
  b.realised_saving = f.number("realised_saving");
  b.threads = f.number("threads");
  return b;
}

std::string folder_name(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

const StepMetrics* RunFolder::last_evaluation() const {
  for (auto m = metrics.rbegin(); m != metrics.rend(); ++m) {
    if (std::isfinite(m->validation_loss)) return &*m;
  }
  return nullptr;
}

bool RunFolder::routed() const {
  if (passage && !passage->layers.empty()) return true;
  const StepMetrics* evaluation = last_evaluation();
  if (evaluation) return !evaluation->layers.empty();
  return facts && facts->flops.train < facts->dense_flops.train;
}

bool RunFolder::has_experts() const {
  if (!affinity.layers.empty()) return true;
  const StepMetrics* evaluation = last_evaluation();
  return evaluation &&
         std::any_of(evaluation->layers.begin(), evaluation->layers.end(),
                     [](const LayerMetrics& layer) { return layer.experts.has_value(); });
}

bool RunFolder::in_rounds(const std::string& branch) const {
  return std::any_of(modules.branches.begin(), modules.branches.end(),
                     [&](const ModuleRounds& one) { return one.name == branch; });
}

RunFolder read_run_folder(const fs::path& path) {
  check(fs::is_directory(path), path.string(), ": no such run folder");
  check(fs::exists(path / "run.json") || fs::exists(path / "metrics.jsonl"), path.string(),
        ": not a run folder: it has neither run.json nor metrics.jsonl");
  RunFolder run;
  run.path = path;
  run.name = folder_name(path);
  if (const fs::path file = path / "run.json"; fs::exists(file)) {
    const JsonFile json(file);
    run.facts = read_facts(json.fields());
    if (!json.fields().text("name").empty()) run.name = json.fields().text("name");
  }
  if (const fs::path file = path / "metrics.jsonl"; fs::exists(file)) {
    run.metrics = read_metrics(file);
  }
  if (const fs::path file = path / "routing.json"; fs::exists(file)) {
    const JsonFile json(file);
    run.passage = read_passage(json.fields());
    run.affinity = read_affinity(json.fields().object("affinity"));
    run.modules = read_modules(json.fields().object("modules"));
    if (run.modules.branches.empty()) run.modules = modules_of(*run.passage);
  }
  if (const fs::path file = path / "samples.json"; fs::exists(file)) {
    const JsonFile json(file);
    run.samples_step = json.fields().number("step");
    for (const JsonFields& s : json.fields().objects("samples")) {
      run.samples.push_back(read_sample(s));
    }
  }
  if (const fs::path file = path / "bench.json"; fs::exists(file)) {
    const JsonFile json(file);
    const auto results = json.fields().objects("results");
    for (const JsonFields& b : results) run.bench.push_back(read_bench(b));
    if (results.empty()) run.bench.push_back(read_bench(json.fields()));
  }
  if (const fs::path file = path / "pointwork.toml"; fs::exists(file)) run.toml = read_file(file);
  return run;
}

}  // namespace pointwork
