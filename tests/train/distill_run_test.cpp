// Runs that are taught, as a user makes them; and runs that begin with the weights of others.

#include "tests/train/runs.h"

namespace pointwork::test {
namespace {

const std::string kSwitch = R"([branch.experts]
kind = "routed"
of = "mlp"
route = { choice = "token", num_experts = 3 }
[branch.moe]
kind = "chain"
of = ["attention", "experts"]
)";

class DistillRun : public RunTest {
 protected:
  // kRunConfig with another list of layers, and `more` tables.
  fs::path config(const std::string& layers, const std::string& more = "") {
    std::string text = kRunConfig;
    const std::string from = "\"dense\", \"mod\"";
    text.replace(text.find(from), from.size(), layers);
    const fs::path path = folder_ / ("config" + std::to_string(count_++) + ".toml");
    return write(path, text + more);
  }
  Words learn(const fs::path& config, const fs::path& out, const Words& more = {}) const {
    Words all = train(out, more);
    all[1] = config;
    return all;
  }
  Words taught(const fs::path& out, const Words& more = {}) {
    Words all = learn(student_, out, more);
    all.push_back("--distill.teacher=" + teacher_.string());
    return all;
  }
  // Made once a program.
  void SetUp() override {
    static const TemporaryFolder folder;
    teacher_ = folder.path() / "teacher";
    sparse_ = config("\"dense\", \"moe\"", kSwitch);
    if (!fs::exists(teacher_)) must(learn(sparse_, teacher_));
    student_ = config("\"dense\"");
  }

  fs::path teacher_, sparse_, student_;
  int count_ = 0;
};

TEST_F(DistillRun, TellsWhatItTookAndWhatItKept) {
  Words all = taught(out(), {"--distill.dense_loss=5.9"});
  std::erase(all, "--quiet");
  const ProgramResult result = must(all);
  expect_in(result.err, {"the student starts from", "of the teacher's weights", "layers.1.mlp.up",
                         "validation loss of the teacher", "of the student"});
  const std::vector<Json> lines = json_lines_of(result.out);
  ASSERT_EQ(lines.size(), 12u);
  for (const Json& line : lines) {
    EXPECT_GT(line.at("soft_loss").get<double>(), 1);
    EXPECT_EQ(line.contains("teacher_loss"), line["step"] == 12);
    EXPECT_EQ(line.contains("gain_kept"), line["step"] == 12);
  }
  const double teacher = lines.back()["teacher_loss"], student = lines.back()["validation_loss"];
  EXPECT_NEAR(
      teacher,
      json_lines_of(content_of(teacher_ / "metrics.jsonl")).back()["validation_loss"].get<double>(),
      1e-6);
  ASSERT_LT(teacher, 5.9);
  EXPECT_NEAR(lines.back()["gain_kept"], (5.9 - student) / (5.9 - teacher), 1e-9);

  // The same student alone: the same FLOPs, and no word of a teacher.
  const std::vector<Json> alone = json_lines_of(must(learn(student_, out("alone"))).out);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(alone[i]["flops"], lines[i]["flops"]);
    for (const char* key : {"soft_loss", "teacher_loss", "gain_kept"})
      EXPECT_FALSE(alone[i].contains(key)) << key;
  }
  // Without initialisation it begins with the same weights, and its loss is that of the text.
  const std::vector<Json> fresh =
      json_lines_of(must(taught(out("fresh"), {"--distill.initialise=false"})).out);
  EXPECT_NEAR(fresh[0]["loss"], alone[0]["loss"], 1e-5);
  EXPECT_GT(std::abs(lines[0]["loss"].get<double>() - alone[0]["loss"].get<double>()), 1e-3);
  EXPECT_FALSE(fresh.back().contains("gain_kept"));

  // No gain, nothing to keep.
  Words none = taught(out("none"), {"--distill.dense_loss=0.5", "--train.steps=2"});
  std::erase(none, "--quiet");
  const ProgramResult without = must(none);
  expect_in(without.err, {"the teacher has no gain that could be kept"});
  EXPECT_TRUE(json_lines_of(without.out).back().at("gain_kept").is_null());
  // The path stands in the run's config as it was given.
  EXPECT_EQ(load_config(out() / "pointwork.toml").distill.teacher, teacher_.string());
}

TEST_F(DistillRun, GoesOnToTheSameBits) {
  const Words more = {"--train.steps=300", "--checkpoint.every=100"};
  const ProgramResult stopped = run_program(taught(out(), more), after_steps(out(), 20, SIGINT));
  EXPECT_EQ(stopped.status, 128 + SIGINT) << stopped.err;
  ASSERT_LT(list_steps(out() / "checkpoints").back(), 300);
  must(taught(out(), more));
  must(taught(out("straight"), more));
  expect_same_end(out(), out("straight"));
}

TEST_F(DistillRun, ATeacherThatHasChangedIsRefused) {
  const fs::path made = out("own");
  must(learn(sparse_, made));
  teacher_ = made;
  const ProgramResult stopped =
      run_program(taught(out("long"), {"--train.steps=300"}), after_steps(out("long"), 20, SIGINT));
  ASSERT_EQ(stopped.status, 128 + SIGINT);
  // The run that teaches is made anew, longer.
  must(learn(sparse_, teacher_, {"--force", "--train.steps=14"}));
  expect_refused(taught(out("long"), {"--train.steps=300"}),
                 {"checkpoint " + last_step(out("long")).string(), "taught by another checkpoint",
                  last_step(teacher_).string(), "--force"});
}

TEST_F(DistillRun, WhatCannotTeachIsRefused) {
  const auto refused = [&](const Words& more, const Words& parts) {
    expect_refused(taught(out(), more), parts);
    EXPECT_FALSE(fs::exists(out())) << "nothing began";
  };
  const std::string name = "teacher " + last_step(teacher_).string();
  refused({"--model.vocab_size=300"},
          {name, "a vocabulary of 257 tokens, the student (model.vocab_size) of 300"});
  refused({"--model.max_position_embeddings=48"},
          {name, "a context of 32 tokens, the student (model.max_position_embeddings) of 48"});
  refused({"--model.max_position_embeddings=16", "--train.sequence_length=16"},
          {name, "a context of 32 tokens, the student (model.max_position_embeddings) of 16"});
  // Without learned positions a sequence may be longer than the model is meant for.
  refused({"--model.position_embedding=none", "--train.sequence_length=40"},
          {name, "a context of 32 tokens, fewer than train.sequence_length = 40"});
  refused({"--distill.hard_weight=0", "--distill.soft_weight=0"},
          {"hard_weight and soft_weight are both 0"});
  refused({"--distill.temperature=0"}, {"distill.temperature", "above 0"});
  expect_refused(learn(student_, out(), {"--distill.teacher=" + out("nobody").string()}),
                 {out("nobody").string(), "no such checkpoint or run"});
  expect_refused(learn(student_, out(), {"--distill.teacher=" + run_world().data().string()}),
                 {"is a data set, expected a checkpoint or a run"});
  EXPECT_FALSE(fs::exists(out()));
  Words itself = taught(teacher_, {"--force"});
  expect_refused(itself, {"distill.teacher is " + last_step(teacher_).string(), "the run itself"});

  // The same sizes, other meanings: bytes 97 and 98 change places.
  Json swapped = Json::parse(byte_tokenizer());
  std::swap(swapped["model"]["vocab"]["a"], swapped["model"]["vocab"]["b"]);
  const fs::path other = folder_ / "other";
  prepare({.inputs = {write(folder_ / "in.jsonl", json_lines(2000))},
           .out = other,
           .source = {},
           .validation_share = 0.1,
           .progress = {}},
          text_encoder(Tokenizer::parse(swapped.dump(), "other")));
  Words elsewhere = taught(out());
  *(std::find(elsewhere.begin(), elsewhere.end(), "--data") + 1) = other;
  expect_refused(elsewhere, {name, "another tokenizer"});
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(DistillRun, ADryRunNamesTheTeacher) {
  Words all = taught(out());
  all.emplace_back("--dry-run");
  const Json json = json_lines_of(must(all).out).back();
  const Json& teacher = json.at("teacher");
  EXPECT_EQ(teacher.at("checkpoint"), last_step(teacher_).string());
  EXPECT_EQ(teacher.at("step"), 12);
  // Beside the student's, two more mlps of 2 · 16 · 64 in one layer, a router of 3 · 16.
  EXPECT_EQ(teacher.at("parameters"),
            json.at("parameters").get<int64_t>() + 2 * 2 * 16 * 64 + 3 * 16);
  EXPECT_GT(teacher.at("flops_per_token").get<double>(), 0);
  EXPECT_GT(json.at("memory_parts").at("teacher").get<double>(),
            4 * teacher.at("parameters").get<double>());
  Words alone = learn(student_, out(), {"--dry-run"});
  const Json without = json_lines_of(must(alone).out).back();
  EXPECT_EQ(without.at("flops"), json.at("flops"));
  EXPECT_EQ(without.at("memory_parts").at("teacher"), 0);
  EXPECT_FALSE(without.contains("teacher"));
  all.erase(std::find(all.begin(), all.end(), "--json"));
  expect_in(must(all).out, {"teacher", last_step(teacher_).string(), "step 12"});
  EXPECT_FALSE(fs::exists(out()));
}

using InitRun = DistillRun;

TEST_F(InitRun, BeginsWithTheWeightsOfAnother) {
  const Words more = {"--init", teacher_, "--optimizer.learning_rate=1e-9",
                      "--branch.experts.route.capacity_factor=2"};
  Words all = learn(sparse_, out(), more);
  std::erase(all, "--quiet");
  const ProgramResult result = must(all);
  expect_in(result.err, {"the weights are those of " + last_step(teacher_).string(),
                         "which had other keys: branch.experts.route.capacity_factor"});
  const std::vector<Json> lines = json_lines_of(result.out);
  EXPECT_EQ(lines.front()["step"], 1);
  EXPECT_EQ(lines.size(), 12u);
  // At a learning rate of nothing it stays what it was.
  EXPECT_NEAR(
      lines.back()["validation_loss"],
      json_lines_of(content_of(teacher_ / "metrics.jsonl")).back()["validation_loss"].get<double>(),
      1e-4);
  // The same command goes on, or is done.
  EXPECT_EQ(must(learn(sparse_, out(), more)).out, "");
}

TEST_F(InitRun, GoesOnToTheSameBitsWithTheSameCommand) {
  const Words more = {"--train.steps=300", "--checkpoint.every=100", "--init", teacher_};
  const ProgramResult stopped =
      run_program(learn(sparse_, out(), more), after_steps(out(), 20, SIGTERM));
  EXPECT_EQ(stopped.status, 128 + SIGTERM) << stopped.err;
  must(learn(sparse_, out(), more));
  must(learn(sparse_, out("straight"), more));
  expect_same_end(out(), out("straight"));
}

TEST_F(InitRun, WeightsThatDoNotFitAreNamed) {
  const auto refused = [&](const fs::path& config, const Words& more, const Words& parts) {
    Words all = {"--init", teacher_};
    all.insert(all.end(), more.begin(), more.end());
    expect_refused(learn(config, out(), all), parts);
    EXPECT_FALSE(fs::exists(out())) << "nothing began";
  };
  const std::string name = "checkpoint " + last_step(teacher_).string();
  refused(student_, {}, {name, "no tensor 'layers.1.mlp.down', which the config asks for"});
  refused(sparse_, {"--model.hidden_size=32"},
          {name, "tensor 'embedding' must be", "[257, 32] but is", "[257, 16]"});
  Words both = learn(student_, out(), {"--init", teacher_, "--resume", teacher_});
  const ProgramResult result = run_program(both);
  EXPECT_EQ(result.status, 2);
  expect_in(result.err, {"--init and --resume PATH cannot both be given"});
  // A teacher does not undo what --init gives.
  Words all = taught(out("both"), {"--init", out("alone"), "--train.steps=1"});
  must(learn(student_, out("alone")));
  std::erase(all, "--quiet");
  const ProgramResult taught = must(all);
  expect_in(taught.err, {"the weights are those of " + last_step(out("alone")).string()});
  EXPECT_EQ(taught.err.find("the student starts from"), std::string::npos) << taught.err;
}

}  // namespace
}  // namespace pointwork::test
