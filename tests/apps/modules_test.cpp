// What the program says of modules assembled round by round: in the run's folder, on its page, in
// sample.

#include <sstream>

#include "pointwork/base/check.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

constexpr int kRounds = 3, kModules = 3;

// Three rounds over three modules of attention and three feed-forward ones, of which a token takes
// two, behind an ordinary block.
fs::path modules_run() {
  static const std::string config = tiny_config("\"dense\", \"rounds\"") + R"([branch.mha]
kind = "attention"
num_attention_heads = 2
projection_route = { num_experts = 3, num_noop = 1, exploration = "none" }
[branch.ffn]
kind = "routed"
of = "mlp"
norm = "inside"
route = { choice = "token", num_experts = 3, num_noop = 1, top_k = 2, exploration = "none", dropless = true }
[branch.round]
kind = "chain"
of = ["mha", "ffn"]
[branch.rounds]
kind = "repeat"
of = "round"
times = 3
)";
  static const fs::path run = short_run("modules", config);
  return run;
}

TEST(Modules, TheRunKeepsWhatTokensChooseRoundByRound) {
  const Json routing = Json::parse(read_file(modules_run() / "routing.json"));
  const Json& modules = routing["modules"];
  EXPECT_EQ(modules["tokens"], routing["affinity"]["tokens"]);
  ASSERT_EQ(modules["branches"].size(), 2u);
  EXPECT_EQ(modules["branches"][0]["name"], "layers.1.body.mha");
  EXPECT_EQ(modules["branches"][1]["name"], "layers.1.body.ffn");
  EXPECT_EQ(modules["branches"][1]["top_k"], 2);
  for (size_t b = 0; b < 2; ++b) {
    const Json& branch = modules["branches"][b];
    EXPECT_EQ(branch["num_experts"], kModules);
    ASSERT_EQ(branch["rounds"], kRounds);
    constexpr int kStates = kModules + 1;
    const auto share = branch["share"].get<std::vector<double>>();
    const auto next = branch["next"].get<std::vector<double>>();
    ASSERT_EQ(share.size(), kRounds * kStates);
    ASSERT_EQ(next.size(), (kRounds - 1) * kStates * kStates);
    // Every token is somewhere, and goes somewhere.
    for (int r = 0; r + 1 < kRounds; ++r) {
      for (int s = 0; s < kStates; ++s) {
        double out = 0, in = 0;
        for (int o = 0; o < kStates; ++o) {
          out += next[(r * kStates + s) * kStates + o];
          in += next[(r * kStates + o) * kStates + s];
        }
        EXPECT_NEAR(out, share[r * kStates + s], 1e-9);
        EXPECT_NEAR(in, share[(r + 1) * kStates + s], 1e-9);
      }
    }
    // Rounds together, the shares are those of the counts over tokens of the vocabulary.
    for (int s = 0; s < kStates; ++s) {
      double mean = 0;
      for (int r = 0; r < kRounds; ++r) mean += share[r * kStates + s] / kRounds;
      const Json& counted = routing["affinity"]["layers"][b]["choices"];
      const double expected =
          s < static_cast<int>(counted.size()) ? counted[s]["share"].get<double>() : 0;
      EXPECT_NEAR(mean, expected, 1e-9) << s;
    }
    double paths = 0;
    for (const Json& path : branch["paths"]) paths += path["share"].get<double>();
    EXPECT_LE(paths, 1 + 1e-9);
    if (branch["distinct_paths"] == branch["paths"].size()) {
      EXPECT_NEAR(paths, 1, 1e-9);
    }
  }
  expect_in(read_file(modules_run() / "report.html"),
            {"<h2>Modules</h2>", "<h5>mha, attention</h5>", "<h5>ffn, feed-forward</h5>",
             "<div class=steps>", "Over training, all rounds together"});
  EXPECT_FALSE(Json::parse(read_file(world().run() / "routing.json")).contains("modules"));
}

// What the JSON has by round stands in one column a branch.
TEST(Modules, SampleShowsTheModulesOfEachToken) {
  Words arguments = {"sample",           modules_run(), "--prompt", "the quick",
                     "--max-new-tokens", "8",           "--seed",   "2"};
  const Json layers = answer_of(arguments)["experts"];
  ASSERT_EQ(layers.size(), 2u * kRounds);
  arguments.emplace_back("--show-routing");
  const ProgramResult shown = run_program(on_one_thread(arguments));
  ASSERT_EQ(shown.status, 0) << shown.err;
  EXPECT_EQ(shown.out.find('\x1b'), std::string::npos) << "no terminal, no colour";
  const size_t title = shown.out.find("\n\nexperts chosen in layers.1.body.*, round by round (");
  ASSERT_NE(title, std::string::npos) << shown.out;
  std::istringstream lines(shown.out.substr(shown.out.find('\n', title + 2) + 1));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line.substr(line.find_first_not_of(' ')), "mha          ffn") << line;
  const auto name = [](const Json& choice) {
    return choice < kModules ? std::to_string(choice.get<int>()) : std::string("·");
  };
  size_t tokens = 0;
  const size_t run = layers[0]["choice"].size();
  for (; std::getline(lines, line); ++tokens) {
    std::string mha, ffn;
    for (int r = 0; r < kRounds; ++r) {
      if (tokens == run) {
        mha += "-";
        ffn += r ? "   -" : "  -";
        continue;
      }
      const Json& one = layers[2 * r]["choice"][tokens];
      const Json& both = layers[2 * r + 1]["choice"][tokens];
      mha += name(one[0]);
      ffn += concat(r ? " " : "", name(both[0]), ",", name(both[1]));
    }
    const std::string cells = concat("  ", mha, "  ", ffn);
    EXPECT_EQ(line.substr(line.size() - std::min(line.size(), cells.size())), cells);
  }
  EXPECT_EQ(tokens, run + 1) << "the last was drawn but never run";
}

}  // namespace
}  // namespace pointwork::test
