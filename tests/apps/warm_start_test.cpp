// convert --to-mod and --assemble: a dense checkpoint becomes another kind of model that begins
// where it stood, and goes on training.

#include "pointwork/files/safetensors.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

// The dense model of the quickstart has two layers: a pool of both.
const std::string kModules =
    "[model]\nhidden_size = 32\nnum_hidden_layers = 1\n"
    "max_position_embeddings = 32\nlayers = [\"rounds\"]\n" +
    kDenseAndMod + R"([branch.mha]
kind = "attention"
num_attention_heads = 2
projection_route = { num_experts = 2, num_noop = 1, weight = "ste", router = "gru", router_size = 8, in_order_steps = 50 }
[branch.ffn]
kind = "routed"
of = "mlp"
norm = "inside"
route = { choice = "token", num_experts = 2, num_noop = 1, weight = "ste", router = "gru", router_size = 8, in_order_steps = 50, dropless = true }
[branch.round]
kind = "chain"
of = ["mha", "ffn"]
[branch.rounds]
kind = "repeat"
of = "round"
times = 3
[train]
steps = 60
batch_size = 8
sequence_length = 32
)";

class WarmStart : public testing::Test {
 protected:
  WarmStart() { put(folder_ / "modules.toml", kModules); }

  double loss_of(const fs::path& model) {
    return answer_of({"eval", model, "--data", world().data(), "--sequences", "8"})["loss"]
        .get<double>();
  }
  // Loss by loss, as a run that begins with the weights of `out_`.
  std::vector<double> train(const Words& more) {
    Words all = {"train", out_ / "pointwork.toml", "--data", world().data(), "--init", out_,
                 "--out", folder_ / "run",         "--json"};
    all.insert(all.end(), more.begin(), more.end());
    const ProgramResult result = run_program(on_one_thread(all));
    EXPECT_EQ(result.status, 0) << result.err;
    std::vector<double> losses;
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);)
      losses.push_back(Json::parse(line)["loss"].get<double>());
    return losses;
  }

  const fs::path dense_ = world().at("quickstart/bible/dense");
  TemporaryFolder folder_;
  const fs::path out_ = folder_ / "made";
};

TEST_F(WarmStart, AMixtureOfDepthsBeginsWithTheDenseLoss) {
  const Json json =
      answer_of({"convert", dense_, out_, "--to-mod", "0.25", "--capacity-steps", "4"});
  EXPECT_EQ(json["layers"], Json({1}));
  EXPECT_EQ(json["capacity"], 0.25);
  EXPECT_NEAR(loss_of(out_), loss_of(dense_), 1e-5);
  EXPECT_EQ(train({"--train.steps=6"}).size(), 6u);
  const Json facts = answer_of({"eval", folder_ / "run", "--data", world().data(), "--sequences",
                                "8", "--routing", "training"});
  EXPECT_NEAR(facts["routed_share"].get<double>(), 0.25, 1e-9);
}

TEST_F(WarmStart, RoutersCanTrainAlone) {
  answer_of({"convert", dense_, out_, "--to-mod", "0.5", "--capacity-steps", "0"});
  train({"--train.steps=4", "--optimizer.trains=routers"});
  const SafetensorsFile before(out_ / "model.safetensors"),
      after(folder_ / "run" / "checkpoints" / "step-4" / "model.safetensors");
  size_t moved = 0;
  for (const auto& tensor : before.tensors()) {
    const auto was = before.bytes(tensor), is = after.bytes(*after.find(tensor.name));
    const bool same = std::equal(was.begin(), was.end(), is.begin(), is.end());
    EXPECT_EQ(same, tensor.name.find(".router.") == std::string::npos) << tensor.name;
    moved += !same;
  }
  EXPECT_GT(moved, 0u);
}

TEST_F(WarmStart, ModulesBeginInTheDenseOrderOrScrambled) {
  const Json json = answer_of(
      {"convert", dense_, out_, "--assemble", folder_ / "modules.toml", "--start", "preserving"});
  EXPECT_EQ(json["layers"].size(), 1u);
  EXPECT_EQ(json["layers"][0]["attention_modules"], 2);
  EXPECT_NEAR(loss_of(out_), loss_of(dense_), 1e-5);
  EXPECT_EQ(train({"--train.steps=5"}).size(), 5u);

  const fs::path other = folder_ / "scrambled";
  answer_of({"convert", dense_, other, "--assemble", folder_ / "modules.toml"});
  EXPECT_GT(loss_of(other), loss_of(dense_) + 1e-3);
  // A key of the config can be given beside it.
  const Json skips = answer_of({"convert", dense_, folder_ / "longer", "--assemble",
                                folder_ / "modules.toml", "--branch.rounds.times=4"});
  EXPECT_EQ(skips["start"], "scrambled");
}

TEST_F(WarmStart, MistakesAreNamed) {
  const auto refused = [&](const Words& more, int status, const Words& parts) {
    Words all = {"convert", dense_, out_};
    all.insert(all.end(), more.begin(), more.end());
    all.emplace_back("--json");
    expect_refused(all, status, parts);
    EXPECT_FALSE(fs::exists(out_));
  };
  const std::string modules = folder_ / "modules.toml";
  refused({"--to-mod", "1.5"}, 2, {"--to-mod must be", "at most 1", "found '1.5'"});
  refused({"--to-mod", "0.5", "--upcycle", "4"}, 2, {"--assemble, --to-mod and --upcycle"});
  refused({"--to-mod", "0.5", "--train.steps=4"}, 2,
          {"--train.steps", "without --assemble", "no such key"});
  refused({"--assemble", modules, "--start", "ordered"}, 2, {"--start must be"});
  refused({"--assemble", modules, "--branch.rounds.tims=4"}, 2,
          {"branch.rounds.tims", "did you mean 'branch.rounds.times'"});
  refused({"--assemble", modules, "--branch.mha.projection_route.num_experts=3"}, 1,
          {"made of 3 dense layers (3)", "the dense model has 2"});
  refused({"--assemble", modules, "--start", "preserving", "--branch.rounds.times=1"}, 1,
          {"in_order_steps needs a round for each of 2 experts, found 1"});
  refused({"--assemble", modules, "--model.hidden_size=64"}, 1, {"embedding must be"});
  // Weights alone do not make a model another one.
  expect_refused({"train", modules, "--data", world().data(), "--init", dense_, "--out", out_}, 1,
                 {"dense", "of another model than the configuration", "`pointwork convert` makes"});
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace pointwork::test
