// A run on disk: what it holds, how it ends, how it goes on.

#include "tests/train/runs.h"

namespace pointwork::test {
namespace {

// The scalar `tag` of every event file in the order in which TensorBoard reads them, by its rules:
// a session that starts at a step forgets what was told of that step and later.
std::vector<std::pair<int64_t, float>> told_to_tensorboard(const fs::path& run,
                                                           const std::string& tag);

TEST_F(RunTest, FolderHoldsWhatItPromises) {
  const ProgramResult result =
      must(train(out(), {"--checkpoint.every=2", "--checkpoint.keep_every=6"}));
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(list_steps(out() / "checkpoints"), (std::vector<int64_t>{6, 10, 12}));
  expect_sound(out());
  std::set<std::string> names;
  for (const std::string& name : names_in(out()))
    names.insert(name.starts_with("events.out.tfevents.") ? "events" : name);
  EXPECT_EQ(names, (std::set<std::string>{".lock", "checkpoints", "events", "metrics.jsonl",
                                          "pointwork.toml", "report.html", "routing.json",
                                          "run.json", "samples.json"}));
  EXPECT_EQ(result.out, content_of(out() / "metrics.jsonl"));
  const Config config = load_config(out() / "pointwork.toml");
  EXPECT_EQ(config.model.vocab_size, 257);
  EXPECT_EQ(config.checkpoint.keep_every, 6);
  const Json run = Json::parse(content_of(out() / "run.json"));
  EXPECT_EQ(run.at("total_steps"), 12);
  EXPECT_EQ(run.at("tokens_per_step"), 4 * 32);
  EXPECT_EQ(run.at("config").at("train").at("steps"), 12);
  EXPECT_LT(run.at("flops_per_token").at("train"), run.at("dense_flops_per_token").at("train"));

  // The tokenizer goes with the weights.
  const Tokenizer tokenizer = Tokenizer::load(last_step(out()));
  EXPECT_EQ(tokenizer.hash(), Dataset(run_world().data()).tokenizer_hash());
}

TEST_F(RunTest, EveryStepHasTheFieldsThatArePromised) {
  const ProgramResult result = must(train(out()));
  const std::vector<Json> lines = json_lines_of(result.out);
  ASSERT_EQ(lines.size(), 12u);
  double flops = 0, seconds = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Json& line = lines[i];
    EXPECT_EQ(line.at("step"), i + 1);
    EXPECT_EQ(line.at("tokens"), (i + 1) * 4 * 32);
    EXPECT_GT(line.at("flops").get<double>(), flops);
    EXPECT_GT(line.at("seconds").get<double>(), seconds);
    flops = line["flops"], seconds = line["seconds"];
    for (const char* key : {"loss", "learning_rate", "grad_norm", "predictor_grad_norm",
                            "tokens_per_second", "mfu", "mfu_palm", "peak_memory_bytes"})
      EXPECT_GT(line.at(key).get<double>(), 0) << key;
    EXPECT_EQ(line.at("skipped"), false);
    // PaLM's convention counts the pairs that a causal mask hides.
    EXPECT_GT(line["mfu_palm"], line["mfu"]);
    const bool evaluated = i + 1 == 5 || i + 1 == 10 || i + 1 == 12;
    for (const char* key :
         {"validation_loss", "validation_loss_training", "validation_bits_per_byte", "routed_share",
          "agreement", "precision", "recall", "layers"})
      EXPECT_EQ(line.contains(key), evaluated) << key << " at step " << i + 1;
    if (!evaluated) continue;
    EXPECT_GT(line["validation_loss"], 4);
    EXPECT_GE(line["routed_share"], 0);
    EXPECT_LE(line["agreement"], 1);
    ASSERT_EQ(line["layers"].size(), 1u);
    const Json& layer = line["layers"][0];
    EXPECT_EQ(layer.at("layer"), "layers.1");
    EXPECT_NEAR(layer.at("capacity"), 0.25, 0.02);
    for (const char* key :
         {"routed_share", "router_mean", "router_std", "agreement", "precision", "recall"})
      EXPECT_TRUE(layer.at(key).is_number()) << key;
  }
  const auto told = told_to_tensorboard(out(), "loss");
  ASSERT_EQ(told.size(), 12u);
  for (size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].first, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(told[i].second, lines[i]["loss"].get<float>());
  }
}

TEST_F(RunTest, TwoRunsHaveTheSameBits) {
  for (const char* threads : {"1", "2"}) {
    const std::string a = std::string("a") + threads, b = std::string("b") + threads;
    Words first = train(out(a)), second = train(out(b));
    first.back() = second.back() = threads;
    must(first);
    must(second);
    expect_same_end(out(a), out(b));
  }
}

class Signals : public RunTest, public testing::WithParamInterface<int> {};

TEST_P(Signals, SaveAndTheSameCommandGoesOnToTheSameBits) {
  const Words more = {"--train.steps=300", "--checkpoint.every=100"};
  const int signal = GetParam();
  const ProgramResult stopped = run_program(train(out(), more), after_steps(out(), 20, signal));
  EXPECT_EQ(stopped.status, 128 + signal) << stopped.err;
  EXPECT_EQ(stopped.err, "");
  const std::vector<int64_t> steps = list_steps(out() / "checkpoints");
  ASSERT_FALSE(steps.empty());
  EXPECT_GE(steps.back(), 20);
  ASSERT_LT(steps.back(), 300) << "it was over before the signal";
  EXPECT_EQ(steps.back(), static_cast<int64_t>(lines_in(out() / "metrics.jsonl")));
  expect_sound(out());

  const std::vector<Json> rest = json_lines_of(must(train(out(), more)).out);
  EXPECT_EQ(rest.front().at("step"), steps.back() + 1);
  must(train(out("straight"), more));
  expect_same_end(out(), out("straight"));
  // The first step after a resume counts its own FLOPs alone.
  EXPECT_LT(rest.front().at("mfu"), 1);
  EXPECT_GT(rest.front().at("mfu"), 0);
  EXPECT_EQ(told_to_tensorboard(out(), "loss"), told_to_tensorboard(out("straight"), "loss"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Signals, testing::Values(SIGINT, SIGTERM),
                         [](const auto& info) { return info.param == SIGINT ? "int" : "term"; });

TEST_F(RunTest, ASecondSignalEndsItAtOnceWithoutDamage) {
  // Steps of about half a second: the second signal comes within the step of the first.
  const Words more = {"--train.batch_size=1000", "--train.steps=8", "--checkpoint.every=2",
                      "--evaluate.every=0", "--evaluate.sequences=1"};
  int told = 0;
  const ProgramOptions twice{.environment = {}, .watch = [&](int process, double) {
                               const size_t lines = lines_in(out() / "metrics.jsonl");
                               if (told == 0 && lines >= 3) {
                                 kill(process, SIGINT);
                                 usleep(20000);
                                 kill(process, SIGTERM);
                                 told = static_cast<int>(lines);
                               }
                             }};
  const ProgramResult result = run_program(train(out(), more), twice);
  EXPECT_EQ(result.status, 128 + SIGTERM) << result.err;
  EXPECT_EQ(told, 3);
  EXPECT_EQ(lines_in(out() / "metrics.jsonl"), 3u);
  EXPECT_EQ(list_steps(out() / "checkpoints"), std::vector<int64_t>{2});
  expect_sound(out());
  must(train(out(), more));
  must(train(out("straight"), more));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunTest, ATimeLimitSavesAndMayDifferNextTime) {
  const Words more = {"--train.steps=400", "--checkpoint.every=0", "--evaluate.every=0"};
  Words limited = train(out(), more);
  limited.emplace_back("--train.time_limit=0.2");
  std::erase(limited, "--quiet");
  const ProgramResult result = must(limited);
  expect_in(result.err, {"time limit at step", "of 400", "the same command goes on"});
  const int64_t step = list_steps(out() / "checkpoints").back();
  ASSERT_LT(step, 400);
  EXPECT_FALSE(fs::exists(out() / "report.html")) << "it is not done";
  must(train(out(), more));
  must(train(out("straight"), more));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunTest, GoesOnFromACheckpointElsewhere) {
  const Words more = {"--train.steps=12", "--checkpoint.every=3", "--checkpoint.keep_last=4"};
  must(train(out("first"), more));
  const fs::path from = step_folder(out("first") / "checkpoints", 6);
  Words resume = train(out("second"), more);
  resume.insert(resume.end(), {"--resume", from});
  const std::vector<Json> lines = json_lines_of(must(resume).out);
  EXPECT_EQ(lines.front().at("step"), 7);
  for (const char* name : {"model.safetensors", "trainer/optimizer.safetensors"})
    EXPECT_EQ(content_of(last_step(out("second")) / name),
              content_of(last_step(out("first")) / name));

  // Once more it would fall behind what is there.
  expect_refused(resume, {"has step 12 already", "beyond step 6", "--resume auto"});
  expect_sound(out("second"));
  EXPECT_EQ(lines_in(out("second") / "metrics.jsonl"), 6u);

  // A run is its newest checkpoint; from the end of one there is nothing to train, but it is kept.
  Words whole = train(out("third"), more);
  whole.insert(whole.end(), {"--resume", out("first")});
  EXPECT_EQ(must(whole).out, "");
  EXPECT_EQ(list_steps(out("third") / "checkpoints"), std::vector<int64_t>{12});
  expect_sound(out("third"));
}

TEST_F(RunTest, StepsBackWithinARunWhenForced) {
  const Words more = {"--checkpoint.every=3", "--checkpoint.keep_last=4"};
  must(train(out(), more));
  must(train(out("straight"), more));
  Words back = train(out(), more);
  back.insert(back.end(), {"--resume", step_folder(out() / "checkpoints", 6)});
  expect_refused(back, {"has step 12 already"});
  back.emplace_back("--force");
  const std::vector<Json> lines = json_lines_of(must(back).out);
  EXPECT_EQ(lines.front().at("step"), 7);
  EXPECT_EQ(list_steps(out() / "checkpoints"), (std::vector<int64_t>{3, 6, 9, 12}));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunTest, AFinishedRunIsLeftAsItIs) {
  must(train(out()));
  const std::string metrics = content_of(out() / "metrics.jsonl");
  const auto written = fs::last_write_time(last_step(out()) / "model.safetensors");
  EXPECT_EQ(must(train(out())).out, "");
  EXPECT_EQ(content_of(out() / "metrics.jsonl"), metrics);
  EXPECT_EQ(fs::last_write_time(last_step(out()) / "model.safetensors"), written);
}

TEST_F(RunTest, BeginsAnewOnlyWhenForced) {
  must(train(out()));
  Words never = train(out());
  never.insert(never.end(), {"--resume", "never"});
  expect_refused(never, {out().string(), "exists already", "--resume auto", "--force"});
  never.insert(never.end(), {"--force", "--train.seed=7"});
  EXPECT_EQ(json_lines_of(must(never).out).size(), 12u);
  EXPECT_EQ(load_config(out() / "pointwork.toml").train.seed, 7);
  Words fresh = train(out("fresh"), {"--train.seed=7", "--resume", "never"});
  must(fresh);
  expect_same_end(out(), out("fresh"));
  EXPECT_EQ(names_in(out()).size(), names_in(out("fresh")).size()) << "events of the old run";
}

// Rows of the head that no token has are often added, to round its size.
TEST_F(RunTest, AVocabularyWiderThanTheTokenizersIsNeverSampled) {
  must(train(out(), {"--model.vocab_size=4096", "--train.steps=1"}));
  const ProgramResult sample = run_program({"sample", out(), "--prompt", "a", "--max-new-tokens",
                                            "30", "--json", "--quiet", "--threads", "1"});
  EXPECT_EQ(sample.status, 0) << sample.err;
  for (const Json& id : Json::parse(sample.out).at("tokens")) EXPECT_LT(id, 257);
}

TEST_F(RunTest, WithoutValidationTextSaysSoOnce) {
  const fs::path data = folder_ / "data";
  const Tokenizer tokenizer = Tokenizer::parse(byte_tokenizer(), "byte tokenizer");
  prepare({.inputs = {write(folder_ / "in.jsonl", json_lines(100))},
           .out = data,
           .source = {},
           .validation_share = 0,
           .progress = {}},
          text_encoder(tokenizer));
  const ProgramResult result = must(train(out(), {}, data));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  expect_in(result.err, {"no validation loss"});
  for (const Json& line : json_lines_of(result.out)) EXPECT_FALSE(line.contains("validation_loss"));
}

TEST_F(RunTest, WhatDeadProcessesLeftIsCleared) {
  must(train(out(), {"--checkpoint.every=4"}));
  const fs::path steps = out() / "checkpoints";
  write(steps / "step-16.tmp-99" / "model.safetensors", "half");
  write(steps / "step-12.old-99" / "model.safetensors", "old");
  write(out() / "metrics.jsonl.tmp-99", "half");
  write(out() / "notes.tmp-mine", "a user's own");
  must(train(out(), {"--checkpoint.every=4"}));
  expect_sound(out());
  EXPECT_EQ(list_steps(steps), (std::vector<int64_t>{8, 12}));
  EXPECT_FALSE(fs::exists(out() / "metrics.jsonl.tmp-99"));
  EXPECT_TRUE(fs::exists(out() / "notes.tmp-mine"));
  // Killed before it had written its config, a run's folder is as good as empty.
  write(out("new") / "pointwork.toml.tmp-99", "half");
  write(out("new") / ".lock", "99");
  must(train(out("new")));
  EXPECT_FALSE(fs::exists(out("new") / "pointwork.toml.tmp-99"));
}

uint64_t varint(const std::string& bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
}

// The fields of a protocol buffer, by number; numbers as their eight bytes.
std::multimap<uint64_t, std::string> fields_of(const std::string& bytes) {
  std::multimap<uint64_t, std::string> fields;
  for (size_t at = 0; at < bytes.size();) {
    const uint64_t key = varint(bytes, at);
    size_t size = key % 8 == 1 ? 8 : 4;
    if (key % 8 == 0) {
      const uint64_t value = varint(bytes, at);
      fields.emplace(key / 8, std::string(reinterpret_cast<const char*>(&value), 8));
      continue;
    }
    if (key % 8 == 2) size = varint(bytes, at);
    fields.emplace(key / 8, bytes.substr(at, size));
    at += size;
  }
  return fields;
}

template <class Number>
Number number_at(const std::string& bytes, size_t at = 0) {
  Number value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::vector<std::pair<int64_t, float>> told_to_tensorboard(const fs::path& run,
                                                           const std::string& tag) {
  constexpr uint64_t kStep = 2, kSummary = 5, kSessionLog = 7;
  std::vector<std::pair<int64_t, float>> told;
  for (const std::string& name : names_in(run)) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    const std::string bytes = content_of(run / name);
    for (size_t at = 0; at < bytes.size();) {
      const auto size = number_at<uint64_t>(bytes, at);
      const auto event = fields_of(bytes.substr(at + 12, size));
      at += size + 16;
      const auto found = event.find(kStep);
      const int64_t step = found == event.end() ? 0 : number_at<int64_t>(found->second);
      if (event.count(kSessionLog))
        std::erase_if(told, [&](const auto& one) { return one.first >= step; });
      if (!event.count(kSummary)) continue;
      for (const auto& [number, value] : fields_of(event.find(kSummary)->second)) {
        const auto scalar = fields_of(value);
        if (scalar.find(1)->second == tag)
          told.emplace_back(step, number_at<float>(scalar.find(2)->second));
      }
    }
  }
  return told;
}

}  // namespace
}  // namespace pointwork::test
