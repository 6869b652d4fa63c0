// What the program says of token choice: of loads in train and eval, of choices in sample, on the
// page.

#include <sstream>

#include "pointwork/base/check.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

// Four experts and a no-op, two choices a token, in the second of two blocks.
fs::path switch_run() {
  static const std::string config = tiny_config("\"dense\", \"switch\"") + R"([branch.experts]
kind = "routed"
of = "mlp"
route = { choice = "token", num_experts = 4, num_noop = 1, top_k = 2, capacity_factor = 1.0 }
[branch.switch]
kind = "chain"
of = ["attention", "experts"]
)";
  static const fs::path run = short_run("switch", config);
  return run;
}

void expect_experts(const Json& experts) {
  ASSERT_TRUE(experts.is_object()) << experts;
  EXPECT_EQ(experts["num_experts"], 4);
  ASSERT_EQ(experts["load"].size(), 5u);
  double sum = 0, most = 0;
  for (int e = 0; e < 4; ++e) {
    sum += experts["load"][e].get<double>();
    most = std::max(most, experts["load"][e].get<double>());
  }
  EXPECT_NEAR(sum, 4, 1e-9);
  EXPECT_EQ(experts["max_load"].get<double>(), most);
  for (const char* share :
       {"load_entropy", "entropy", "confidence", "dropped_share", "noop_share"}) {
    EXPECT_GE(experts[share].get<double>(), 0) << share;
    EXPECT_LE(experts[share].get<double>(), 1) << share;
  }
  EXPECT_GE(experts["z"].get<double>(), 0);
  // Σ of all loads is choices over the fair share.
  EXPECT_NEAR(experts["noop_share"].get<double>(),
              experts["load"][4].get<double>() / (4 + experts["load"][4].get<double>()), 1e-9);
}

TEST(Experts, TrainWritesLoadsAndAlarms) {
  std::istringstream lines(read_file(switch_run() / "metrics.jsonl"));
  size_t evaluations = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    EXPECT_EQ(json.contains("alarms"), json.contains("layers")) << line;
    if (!json.contains("layers")) continue;
    ++evaluations;
    ASSERT_EQ(json["layers"].size(), 1u);
    expect_experts(json["layers"][0]["experts"]);
    const Json& experts = json["layers"][0]["experts"];
    const bool bad = experts["dead"] > 0 || experts["max_load"] > 3;
    EXPECT_EQ(json["alarms"].size(), bad ? 1u : 0u);
  }
  EXPECT_EQ(evaluations, 2u);
}

// 256 tokens are evaluated: of 64 experts after a step or two some get none of them.
TEST(Experts, AlarmsAreToldOnStandardErrorAndStandInTheMetrics) {
  const fs::path out = world().at("alarmed");
  switch_run();
  const ProgramResult result = run_program(on_one_thread(
      {"train", world().at("switch.toml"), "--data", world().data(), "--out", out,
       "--train.steps=2", "--evaluate.every=1", "--branch.experts.route.num_experts=64",
       "--branch.experts.route.num_noop=0", "--branch.experts.route.top_k=1", "--quiet"}));
  ASSERT_EQ(result.status, 0) << result.err;
  expect_in(result.err, {"layers.1", " of 64 experts get less than 1 % of their share ("});
  EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 2);
  std::istringstream lines(read_file(out / "metrics.jsonl"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const std::string alarm = Json::parse(line)["alarms"].at(0);
  EXPECT_EQ(result.err.substr(0, result.err.find('\n')), alarm);
  expect_in(read_file(out / "report.html"), {"<p class=alarm>▲ layers.1", "<h2>Experts</h2>"});
}

TEST(Experts, EvalTellsOfThem) {
  const Words words = {"eval", switch_run(), "--data", world().data(), "--sequences", "8"};
  for (const char* routing : {"inference", "training"}) {
    Words arguments = words;
    arguments.insert(arguments.end(), {"--routing", routing});
    const Json json = answer_of(arguments);
    ASSERT_EQ(json["layers"].size(), 1u);
    expect_experts(json["layers"][0]["experts"]);
  }
  const ProgramResult text = run_program(on_one_thread(words));
  ASSERT_EQ(text.status, 0) << text.err;
  expect_in(text.out, {"busiest", "dropped", "confidence", "entropy", "layers.1"});
  EXPECT_EQ(text.out.find("causal decision"), std::string::npos) << "there is none but the choice";
  // Mixture-of-Depths has no experts to tell of.
  const ProgramResult depth = run_program(
      on_one_thread({"eval", world().run(), "--data", world().data(), "--sequences", "2"}));
  expect_in(depth.out, {"causal decision", "spread of r"});
  EXPECT_EQ(depth.out.find("busiest"), std::string::npos);
}

TEST(Experts, SampleShowsChoices) {
  const Words words = {"sample",           switch_run(), "--prompt", "the quick",
                       "--max-new-tokens", "8",          "--seed",   "2"};
  Words arguments = words;
  const Json json = answer_of(arguments);
  ASSERT_EQ(json["experts"].size(), 1u);
  const Json& layer = json["experts"][0];
  EXPECT_EQ(layer["num_experts"], 4);
  for (const Json& choice : layer["choice"]) {
    ASSERT_EQ(choice.size(), 2u);
    EXPECT_NE(choice[0], choice[1]);
    EXPECT_GE(choice[0], 0);
    EXPECT_LE(choice[0], 4);
  }
  arguments.emplace_back("--show-routing");
  const ProgramResult shown = run_program(on_one_thread(arguments));
  ASSERT_EQ(shown.status, 0) << shown.err;
  const size_t table =
      shown.out.find(concat("\n\nexperts chosen in ", layer["layer"].get<std::string>()));
  ASSERT_NE(table, std::string::npos) << shown.out;
  // A line a token; the last was drawn but never run.
  std::istringstream lines(shown.out.substr(shown.out.find('\n', table + 2) + 1));
  size_t tokens = 0;
  for (std::string line; std::getline(lines, line); ++tokens) {
    std::string expected = "-";
    if (tokens < layer["choice"].size()) {
      const Json& both = layer["choice"][tokens];
      const auto name = [](const Json& choice) {
        return choice < 4 ? std::to_string(choice.get<int>()) : std::string("·");
      };
      expected = concat(name(both[0]), ",", name(both[1]));
    }
    EXPECT_EQ(line.substr(line.rfind(' ') + 1), expected) << line;
  }
  EXPECT_EQ(tokens, layer["choice"].size() + 1);
  // Without token choice there is neither.
  const Json depth =
      answer_of({"sample", world().run(), "--prompt", "the", "--max-new-tokens", "3"});
  EXPECT_FALSE(depth.contains("experts"));
}

TEST(Experts, TheRunKeepsWhichTokensChooseThem) {
  const Json routing = Json::parse(read_file(switch_run() / "routing.json"));
  EXPECT_EQ(routing["layers"][0]["top_k"], 2);
  EXPECT_EQ(routing["layers"][0]["choice"].size(), 2 * routing["tokens"].size());
  const Json& affinity = routing["affinity"];
  EXPECT_GT(affinity["tokens"], 1000);
  ASSERT_EQ(affinity["layers"].size(), 1u);
  double share = 0;
  size_t tokens = 0;
  for (const Json& choice : affinity["layers"][0]["choices"]) {
    share += choice["share"].get<double>();
    tokens += choice["tokens"].size();
    for (const Json& lift : choice["lift"]) EXPECT_GT(lift, 1);
    for (const Json& seen : choice["seen"]) EXPECT_GE(seen, affinity["least"]);
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_GT(tokens, 4u);
  EXPECT_FALSE(Json::parse(read_file(world().run() / "routing.json")).contains("affinity"));
  // Each token of a sample has its share, or null where it was never run.
  const Json samples = Json::parse(read_file(switch_run() / "samples.json"));
  for (const Json& one : samples["samples"]) EXPECT_EQ(one["share"].size(), one["tokens"].size());
}

}  // namespace
}  // namespace pointwork::test
