// convert: a dense checkpoint becomes a mixture of experts that says the same, and goes on
// training.

#include <cmath>
#include <cstring>
#include <sstream>

#include "pointwork/files/safetensors.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

std::vector<float> logits_of(const fs::path& checkpoint, const fs::path& out,
                             const std::string& routing) {
  const fs::path ids = out.parent_path() / "ids.json";
  put(ids, "[[5, 17, 120, 33, 8, 250, 9, 64], [1, 2, 3, 4, 5, 6, 7, 8]]");
  answer_of({"logits", checkpoint, "--ids", ids, "--out", out, "--force", "--routing", routing});
  const SafetensorsFile file(out);
  const auto bytes = file.bytes(*file.find("logits"));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

class Convert : public testing::Test {
 protected:
  const fs::path dense_ = world().at("quickstart/bible/dense");
  TemporaryFolder folder_;
  const fs::path out_ = folder_ / "moe";
};

TEST_F(Convert, UpcyclesToAModelThatSaysTheSame) {
  struct Case {
    std::string name;
    Words more;
    double experts, layers;
  };
  const std::vector<Case> cases = {
      {"top1", {"--upcycle", "4"}, 4, 1},
      {"top2", {"--upcycle", "3", "--top-k", "2", "--every", "1"}, 3, 2}};
  const double mlp = 2 * 32 * 128;
  for (const Case& c : cases) {
    const fs::path out = folder_ / c.name;
    Words all = {"convert", dense_, out};
    all.insert(all.end(), c.more.begin(), c.more.end());
    const Json json = answer_of(all);
    EXPECT_EQ(json["checkpoint"], out.string());
    EXPECT_EQ(json["experts"], c.experts);
    EXPECT_EQ(json["layers"].size(), c.layers);
    EXPECT_EQ(json["parameters"].get<double>(),
              json["parameters_before"].get<double>() +
                  c.layers * ((c.experts - 1) * mlp + c.experts * 32));
    EXPECT_LT(json["active_parameters"], json["parameters"]);

    const Json facts = answer_of({"verify", out});
    EXPECT_EQ(facts["kind"], "checkpoint");
    EXPECT_EQ(facts["valid"], true);
    const Json inspected = answer_of({"inspect", out});
    EXPECT_EQ(inspected["step"], 0);
    EXPECT_EQ(inspected["resumable"], false);

    for (const std::string routing : {"inference", "training"}) {
      const auto want = logits_of(dense_, folder_ / "a.safetensors", routing),
                 got = logits_of(out, folder_ / "b.safetensors", routing);
      ASSERT_EQ(got.size(), want.size());
      float most = 0, apart = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        most = std::max(most, std::abs(want[i]));
        apart = std::max(apart, std::abs(got[i] - want[i]));
      }
      // c · √n · eps for the roundings on the longest way: 4 sums of at most 128 terms.
      EXPECT_LE(apart, 4 * std::sqrt(4.0 * 128) * 0x1p-23 * most) << c.name << ", " << routing;
    }
    // The tokenizer goes with it.
    EXPECT_EQ(
        run_program(on_one_thread({"sample", out, "--prompt", "the", "--max-new-tokens", "3"}))
            .status,
        0);
  }
}

TEST_F(Convert, WhatItMakesGoesOnTraining) {
  answer_of({"convert", dense_, out_, "--upcycle", "3", "--noise", "0.02", "--seed", "7"});
  const auto train = [&](const std::string& out, const Words& more) {
    Words all = {"train", out_ / "pointwork.toml", "--data", world().data(),
                 "--out", folder_ / out,           "--json"};
    all.insert(all.end(), more.begin(), more.end());
    return on_one_thread(all);
  };
  const ProgramResult result =
      run_program(train("run", {"--init", out_, "--train.steps=6", "--quiet"}));
  ASSERT_EQ(result.status, 0) << result.err;
  std::istringstream lines(result.out);
  int64_t step = 0;
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(Json::parse(line)["step"], ++step);
  EXPECT_EQ(step, 6);
  // Nothing of the old optimizer is there to go on with.
  expect_refused(train("other", {"--resume", out_}), 1,
                 {out_.string(), "without the trainer's state", "train --init"});
  EXPECT_FALSE(fs::exists(folder_ / "other"));
}

TEST_F(Convert, MistakesAreNamed) {
  const auto refused = [&](const fs::path& from, const Words& more, int status,
                           const Words& parts) {
    Words all = {"convert", from, out_};
    all.insert(all.end(), more.begin(), more.end());
    all.emplace_back("--json");
    expect_refused(all, status, parts);
    EXPECT_FALSE(fs::exists(out_));
  };
  refused(dense_, {"--upcycle", "1"}, 2, {"--upcycle must be", "found '1'"});
  refused(dense_, {"--upcycle", "4", "--top-k", "0"}, 2, {"--top-k must be", "found '0'"});
  refused(dense_, {"--upcycle", "4", "--every", "0"}, 2, {"--every must be", "found '0'"});
  refused(dense_, {"--upcycle", "4", "--offset", "2"}, 2,
          {"--offset must be below --every, 2", "found '2'"});
  refused(dense_, {"--upcycle", "4", "--noise", "-1"}, 2, {"--noise must be", "found '-1'"});
  refused(dense_, {"--upcycle", "4", "--capacity-factor", "0"}, 2,
          {"--capacity-factor must be", "above 0"});
  refused(dense_, {"--upcycle", "4", "--train.steps=3"}, 2, {"--train.steps", "no such key"});
  refused(dense_, {"--upcycle", "4", "--top-k", "5"}, 1,
          {"branch.experts.route.top_k is 5", "num_experts 4"});
  refused(dense_, {"--upcycle", "4", "--every", "8"}, 1,
          {"no layer is chosen", "the model has 2", "layer 7"});
  refused(world().run(), {"--upcycle", "4"}, 1, {"branch.mod is routed already"});
  refused(world().data(), {"--upcycle", "4"}, 1, {"is a data set"});
  refused(folder_ / "none", {"--upcycle", "4"}, 1, {"no such checkpoint or run"});
}

TEST_F(Convert, ReplacesACheckpointAndNothingElse) {
  const Words all = {"convert", dense_, out_, "--upcycle", "2", "--json"};
  const Words forced = {"convert", dense_, out_, "--upcycle", "3", "--force"};
  answer_of({"convert", dense_, out_, "--upcycle", "2"});
  const std::string before = read_file(out_ / "model.safetensors");
  expect_refused(all, 1, {out_.string(), "exists already", "--force"});
  EXPECT_EQ(read_file(out_ / "model.safetensors"), before);
  EXPECT_EQ(answer_of(forced)["experts"], 3);
  EXPECT_NE(read_file(out_ / "model.safetensors"), before);
  EXPECT_EQ(names_in(folder_.path()), Words{"moe"}) << "nothing is left beside it";

  fs::remove_all(out_);
  put(out_ / "precious.txt", "words");
  expect_refused(forced, 1, {out_.string(), "is no checkpoint"});
  EXPECT_EQ(read_file(out_ / "precious.txt"), "words");
}

TEST_F(Convert, IsTheSameWithTheSameSeed) {
  const auto weights = [&](const std::string& name, const std::string& seed) {
    answer_of(
        {"convert", dense_, folder_ / name, "--upcycle", "2", "--noise", "0.1", "--seed", seed});
    return read_file(folder_ / name / "model.safetensors");
  };
  const std::string one = weights("a", "1");
  EXPECT_EQ(weights("b", "1"), one);
  EXPECT_NE(weights("c", "2"), one);
}

}  // namespace
}  // namespace pointwork::test
