// The names in --json that checks rely on, each with a value that makes sense.

#include <cmath>
#include <sstream>

#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

constexpr double kMost = 1e18;  // of anything here

struct Field {
  std::string path;  // "flops_per_token/train"
  double least = 0, most = kMost;
};

const Json& at(const Json& json, const std::string& path) {
  const Json::json_pointer pointer("/" + path);
  static const Json none;
  return json.contains(pointer) ? json[pointer] : none;
}

void expect_fields(const Json& json, const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    const Json& value = at(json, field.path);
    ASSERT_TRUE(value.is_number()) << field.path << " is " << value << " in " << json;
    EXPECT_GE(value.get<double>(), field.least) << field.path;
    EXPECT_LE(value.get<double>(), field.most) << field.path;
  }
}

const double kLog = std::log(300);  // loss of knowing nothing of 300 tokens

// 2 blocks of width 32, 300 tokens tied, 32 positions; a router 32 and a predictor 16·32 + 16 + 16
// + 1 more.
constexpr double kDense = 300 * 32 + 32 * 32 + 2 * (12 * 32 * 32 + 4 * 32) + 2 * 32;
constexpr double kRouted = kDense + 32 + 545;

TEST(Fields, Train) {
  const fs::path out = world().at("fields");
  const ProgramResult result = run_program(
      on_one_thread({"train", world().mod_config(), "--data", world().data(), "--out", out,
                     "--train.steps=4", "--evaluate.every=2", "--json", "--quiet"}));
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  std::istringstream lines(result.out);
  std::istringstream kept(read_file(out / "metrics.jsonl"));
  int64_t step = 0;
  for (std::string line, same; std::getline(lines, line);) {
    ++step;
    const Json json = Json::parse(line);
    expect_fields(json, {{"step", 1.0 * step, 1.0 * step},
                         {"loss", 1, 2 * kLog},
                         {"learning_rate", 1e-6, 3e-3},
                         {"grad_norm", 1e-6, 1e3},
                         {"tokens", 256.0 * step, 256.0 * step},
                         {"flops", 1e6 * step},
                         {"tokens_per_second", 1},
                         {"mfu", 1e-9, 1},
                         {"peak_memory_bytes", 1 << 20}});
    EXPECT_EQ(json.contains("validation_loss"), step % 2 == 0) << line;
    if (step % 2 == 0) {
      expect_fields(json, {{"validation_loss", 1, 2 * kLog},
                           {"validation_loss_training", 1, 2 * kLog},
                           {"routed_share", 0, 1},
                           {"agreement", 0, 1},
                           {"precision", 0, 1},
                           {"recall", 0, 1}});
    }
    // The same objects are kept.
    ASSERT_TRUE(std::getline(kept, same));
    EXPECT_EQ(Json::parse(same), json);
  }
  EXPECT_EQ(step, 4);
}

void expect_figures(const Json& json) {
  expect_fields(json, {{"parameters", kRouted, kRouted},
                       {"active_parameters", 1, kRouted - 1},
                       {"kv_bytes_per_token", 320, 320},  // 2 · 32 floats, in one block a quarter
                       {"memory_bytes", 1 << 20, 1e9}});
  for (const std::string kind : {"flops_per_token", "dense_flops_per_token", "bound"}) {
    expect_fields(json, {{kind + "/forward", 1}, {kind + "/train", 1}, {kind + "/decode", 1}});
    EXPECT_EQ(at(json, kind + "/train").get<double>(),
              3 * at(json, kind + "/forward").get<double>());
  }
  EXPECT_LT(at(json, "flops_per_token/forward"), at(json, "dense_flops_per_token/forward"));
  EXPECT_LE(at(json, "flops_per_token/decode"), at(json, "bound/decode"));
  double flops = 0, parameters = 0;
  for (const Json& part : json["parts"]) {
    EXPECT_TRUE(part["name"].is_string());
    flops += part["flops"].get<double>();
    parameters += part["parameters"].get<double>();
  }
  EXPECT_NEAR(flops, at(json, "flops_per_token/forward").get<double>(), 1e-9 * flops);
  EXPECT_EQ(parameters, kRouted);
}

TEST(Fields, FlopsAndDryRun) {
  const std::string config = world().at("configs/mod.toml");
  const Json flops = answer_of({"flops", config});
  expect_figures(flops);
  const Json plan = answer_of({"train", config, "--data", world().data(), "--dry-run"});
  expect_figures(plan);
  expect_fields(plan, {{"steps", 120, 120},
                       {"tokens", 120 * 256, 120 * 256},
                       {"flops", 1e6},
                       {"expected_seconds", 1e-9, 1e6},
                       {"epochs", 1e-6, 1e6}});
  EXPECT_NEAR(plan["flops"].get<double>(),
              at(plan, "flops_per_token/train").get<double>() * 120 * 256,
              1e-9 * plan["flops"].get<double>());

  // Of a run, measured too: as in training every slot is taken; causally, the share that entered.
  const Json run = answer_of({"flops", world().run()});
  expect_figures(run);
  EXPECT_EQ(at(run, "measured/forward"), at(run, "flops_per_token/forward"));
  EXPECT_EQ(at(run, "measured/train"), at(run, "flops_per_token/train"));
  EXPECT_LE(at(run, "measured/decode"), at(run, "bound/decode"));
  std::istringstream metrics(read_file(world().run() / "metrics.jsonl"));
  Json last;
  for (std::string line; std::getline(metrics, line);) last = Json::parse(line);
  const double share = last["layers"][0]["routed_share"], rows = 32 * share;
  // Instead of a quarter: 12 D² multiply-adds a row, and 2 D for each of its pairs.
  const double more =
      2 * 12 * 32 * 32 * (share - 0.25) + 4 * 32 * (rows * (rows + 1) - 8 * 9) / 2 / 32;
  EXPECT_NEAR(at(run, "measured/decode").get<double>(),
              at(run, "flops_per_token/decode").get<double>() + more, 1e-6);

  // Counted, not built: far more than any machine holds.
  const Json vast =
      answer_of({"flops", config, "--model.hidden_size=65536", "--model.num_hidden_layers=30"});
  EXPECT_GT(vast["memory_bytes"], int64_t{1} << 43);
}

TEST(Fields, Eval) {
  for (const std::string routing : {"inference", "training"}) {
    const Json json = answer_of({"eval", world().run(), "--data", world().data(), "--routing",
                                 routing, "--sequences", "4"});
    expect_fields(json, {{"loss", 0.01, kLog},
                         {"tokens", 4 * 32, 4 * 32},
                         {"bits_per_byte", 0.001, 8},
                         {"routed_share", 0, 1},
                         {"agreement", 0.5, 1}});
    EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(json["loss"].get<double>()), 1e-9);
    if (routing == "training") {
      EXPECT_EQ(json["routed_share"], 0.25);
    }
    EXPECT_EQ(json["layers"].size(), 1u);
  }
  // Nothing is routed in the twin, so every row takes every block.
  const Json dense = answer_of(
      {"eval", world().at("quickstart/bible/dense"), "--data", world().data(), "--sequences", "4"});
  EXPECT_EQ(dense["routed_share"], 1);
  EXPECT_EQ(dense["agreement"], 1);
}

TEST(Fields, EvalOfABlockInsideAnotherThatNoRowTook) {
  const fs::path config = world().at("nested.toml"), run = world().at("nested");
  std::string text = tiny_config("\"dense\", \"outer\"");
  text += R"([branch.inner]
kind = "routed"
of = "mlp"
route = { capacity = 0.25 }
[branch.both]
kind = "chain"
of = ["attention", "inner"]
[branch.outer]
kind = "routed"
of = "both"
route = { capacity = 0.25 }
)";
  put(config, text);
  // An untrained predictor lets no row in.
  const ProgramResult made = run_program(on_one_thread(
      {"train", config, "--data", world().data(), "--out", run, "--train.steps=1", "--quiet"}));
  ASSERT_EQ(made.status, 0) << made.err;
  const Json json = answer_of({"eval", run, "--data", world().data(), "--sequences", "2"});
  ASSERT_EQ(json["layers"].size(), 2u);
  for (const Json& layer : json["layers"]) {
    EXPECT_EQ(layer["routed_share"], 0) << layer;
    EXPECT_EQ(layer["capacity"], 0.25) << layer;
  }
  EXPECT_EQ(at(answer_of({"flops", run}), "measured/decode").is_number(), true);
}

TEST(Fields, Bench) {
  const std::string config = world().at("configs/mod.toml"),
                    dense = world().at("configs/dense.toml");
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string what : {"step", "decode", "route"}) {
    const Json json = answer_of({"bench", what, config, "--against",
                                 what == "route" ? config : dense, "--seconds", "1", "--quiet"});
    expect_fields(json, {{"seconds", 1e-7, 10},
                         {"tokens_per_second", 1},
                         {"flops_per_second", 1},
                         {"gemm_peak_flops_per_second", 1e6},
                         {"mfu", 1e-9, 1},
                         {"mfu_palm", at(json, "mfu").get<double>(), 2},
                         {"peak_memory_bytes", 1 << 20},
                         {"measured_saving", 1e-3, 1e3},
                         {"ideal_saving", 0.5, 4},
                         {"realised_saving", 1e-3, 1e3}});
    EXPECT_NEAR(json["realised_saving"].get<double>(),
                json["measured_saving"].get<double>() / json["ideal_saving"].get<double>(), 1e-9);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(spent.count(), 60) << "three times a second";
  expect_refused({"bench", "route", dense, "--seconds", "1", "--json"}, 1, {"no routed branch"});
  expect_refused({"bench", "step", world().mod_config(), "--seconds", "1"}, 1,
                 {"model.vocab_size is 0", "--model.vocab_size=N"});
}

TEST(Fields, InspectAndVerify) {
  put(world().at("list.json"), "[[1, 2, 3]]");
  const std::string logits = world().at("few.safetensors");
  answer_of({"logits", world().run(), "--ids", world().at("list.json"), "--out", logits});
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {world().run(), "run"},       {world().checkpoint(), "checkpoint"},
      {world().data(), "data set"}, {world().tokenizer(), "tokenizer"},
      {logits, "safetensors"},
  };
  for (const auto& [path, kind] : kinds) {
    for (const std::string verb : {"inspect", "verify"}) {
      const Json json = answer_of({verb, path});
      EXPECT_EQ(json["kind"], kind);
      EXPECT_EQ(json["valid"], true);
      EXPECT_EQ(json["problems"], Json::array());
      EXPECT_GT(json.size(), 4u) << json;
    }
  }
  const Json checkpoint = answer_of({"inspect", world().checkpoint()});
  EXPECT_EQ(checkpoint["step"], 120);
  EXPECT_EQ(checkpoint["parameters"], kRouted);
  EXPECT_EQ(checkpoint["resumable"], true);
  const Json run = answer_of({"inspect", world().run()});
  EXPECT_EQ(run["checkpoints"], (Json{60, 120}));
  EXPECT_EQ(run["step"], 120);
  EXPECT_EQ(answer_of({"inspect", world().data()})["vocab_size"], 300);
}

TEST(Fields, Doctor) {
  const Json json = answer_of({"doctor", "--quiet"});
  expect_fields(json, {{"gemm_flops_per_second/float32", 1e6},
                       {"gemm_flops_per_second/bfloat16", 1e6},
                       {"copy_bytes_per_second", 1e6},
                       {"available_memory_bytes", 1 << 20},
                       {"threads", 1, 1}});
  EXPECT_TRUE(json["missing"].is_array());
}

}  // namespace
}  // namespace pointwork::test
