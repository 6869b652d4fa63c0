// A run that cannot begin, or cannot go on.

#include "tests/train/runs.h"

namespace pointwork::test {
namespace {

class RunFaults : public RunTest {
 protected:
  // A run stopped by a signal after at least `steps` of 300 steps.
  void start(size_t steps = 20) {
    const ProgramResult result =
        run_program(train(out(), kLong), after_steps(out(), steps, SIGINT));
    ASSERT_EQ(result.status, 128 + SIGINT) << result.err;
  }
  // Everything in the run's folder but the lock, which names the last process.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(out())) {
      const std::string name = entry.path().lexically_relative(out());
      if (entry.is_regular_file() && name != ".lock") all[name] = content_of(entry.path());
    }
    return all;
  }
  void expect_goes_on() {
    must(train(out(), kLong));
    must(train(out("straight"), kLong));
    expect_same_end(out(), out("straight"));
  }

  const Words kLong = {"--train.steps=300", "--checkpoint.every=10"};
};

TEST_F(RunFaults, AChangedConfigIsNamedKeyByKey) {
  start();
  const auto before = files();
  Words changed = kLong;
  changed.insert(changed.end(), {"--optimizer.learning_rate=0.5", "--train.batch_size=3",
                                 "--branch.mod.route.capacity=0.5", "--evaluate.every=9",
                                 "--checkpoint.keep_last=3", "--train.time_limit=100"});
  expect_refused(train(out(), changed),
                 {out().string(),
                  "changed: branch.mod.route.capacity, train.batch_size, "
                  "optimizer.learning_rate (take another --out, or --force"});
  EXPECT_EQ(files(), before);
  Words resume = train(out("other"), changed);
  resume.insert(resume.end(), {"--resume", out()});
  expect_refused(resume, {"checkpoint " + last_step(out()).string(), "optimizer.learning_rate"});
  EXPECT_FALSE(fs::exists(out("other"))) << "nothing began";

  // What changes no weight may change.
  Words harmless = kLong;
  harmless.insert(harmless.end(), {"--checkpoint.keep_last=3", "--train.time_limit=100"});
  must(train(out(), harmless));
  must(train(out("straight"), kLong));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunFaults, AnotherDataSetIsRefused) {
  start();
  const auto before = files();
  const auto data_of = [&](const std::string& name, const std::string& json, int lines) {
    const Tokenizer tokenizer = Tokenizer::parse(json, name);
    prepare({.inputs = {write(folder_ / (name + ".jsonl"), json_lines(lines))},
             .out = folder_ / name,
             .source = {},
             .validation_share = 0.1,
             .progress = {}},
            text_encoder(tokenizer));
    return folder_ / name;
  };
  const fs::path more = data_of("more", byte_tokenizer(), 2001);
  expect_refused(train(out(), kLong, more), {"was trained on another data set", "more"});
  // The same sizes, other meanings: bytes 97 and 98 change places.
  Json swapped = Json::parse(byte_tokenizer());
  std::swap(swapped["model"]["vocab"]["a"], swapped["model"]["vocab"]["b"]);
  const fs::path other = data_of("other", swapped.dump(), 2000);
  expect_refused(train(out(), kLong, other), {"was trained with another tokenizer", "other"});
  // A data set whose tokenizer was exchanged afterwards.
  fs::copy_file(other / "tokenizer.json", more / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  expect_refused(train(out("new"), kLong, more), {"tokenizer.json", "more"});
  EXPECT_FALSE(fs::exists(out("new")));
  EXPECT_EQ(files(), before);
  const ProgramResult eval =
      run_program({"eval", out(), "--data", other, "--threads", "1", "--quiet"});
  EXPECT_EQ(eval.status, 1);
  expect_in(eval.err, {"another tokenizer"});
}

TEST_F(RunFaults, AForcedRunThatCannotBeginLeavesTheOldOne) {
  start();
  const auto before = files();
  const fs::path few = folder_ / "few";
  prepare({.inputs = {write(folder_ / "few.jsonl", "{\"text\": \"too little\"}\n")},
           .out = few,
           .source = {},
           .validation_share = 0,
           .progress = {}},
          text_encoder(Tokenizer::parse(byte_tokenizer(), "byte tokenizer")));
  Words forced = train(out(), kLong, few);
  forced.emplace_back("--force");
  expect_refused(forced, {"few", "11 training tokens, too few for one sequence of 32 + 1"});
  // Terabytes of weights fit nowhere.
  expect_refused(train(out(), {"--force", "--model.hidden_size=65536",
                               "--model.num_hidden_layers=40", "--train.steps=2"}),
                 {"memory", "GiB"});
  EXPECT_EQ(files(), before);
  expect_refused(train(out("new"), {}, few), {"too few"});
  EXPECT_FALSE(fs::exists(out("new"))) << "nothing half-written";
}

TEST_F(RunFaults, OneProcessWritesARun) {
  ProgramResult second;
  const ProgramOptions watch{.environment = {}, .watch = [&](int process, double) {
                               if (!second.err.empty() || lines_in(out() / "metrics.jsonl") < 5)
                                 return;
                               // Held still, so that it is there however long the other takes.
                               kill(process, SIGSTOP);
                               second = run_program(train(out(), kLong));
                               kill(process, SIGCONT);
                               expect_in(second.err, {std::to_string(process), "another process"});
                             }};
  const ProgramResult first = run_program(train(out(), kLong), watch);
  EXPECT_EQ(second.status, 1);
  EXPECT_EQ(first.status, 0) << first.err;
  must(train(out("straight"), kLong));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunFaults, AFullDiskInTheMiddleOfASaveLosesNothing) {
  start();
  const std::vector<int64_t> steps = list_steps(out() / "checkpoints");
  const auto weights = fs::file_size(last_step(out()) / "model.safetensors"),
             trainer = fs::file_size(last_step(out()) / "trainer/optimizer.safetensors");
  ASSERT_LT(weights, trainer);
  // The weights still fit, what the trainer holds does not.
  ProgramOptions full;
  full.file_limit = static_cast<long long>((weights + trainer) / 2);
  expect_refused(train(out(), kLong),
                 {"optimizer.safetensors", "cannot be written", "File too large"}, full);
  EXPECT_EQ(list_steps(out() / "checkpoints"), steps);
  expect_sound(out());
  expect_goes_on();

  // In the first save of a run.
  expect_refused(train(out("new"), kLong), {"cannot be written"}, full);
  EXPECT_TRUE(fs::is_empty(out("new") / "checkpoints"));
  must(train(out("new"), kLong));
  expect_same_end(out("new"), out("straight"));
}

TEST_F(RunFaults, AFullDiskAmidTheRecordsLosesNothing) {
  start();
  ProgramOptions full;
  full.file_limit = static_cast<long long>(fs::file_size(out() / "metrics.jsonl") + 1000);
  expect_refused(train(out(), kLong), {"metrics.jsonl", "File too large"}, full);
  expect_sound(out());
  expect_goes_on();
}

TEST_F(RunFaults, AFolderThatCannotBeWrittenIsSaidBeforeTheFirstStep) {
  write(folder_ / "file", "x");
  expect_refused(train(folder_ / "file"), {"file", "expected a folder"});
  expect_refused(train(folder_ / "file" / "run"), {"file/run", "Not a directory"});
  expect_refused(train("/proc/run"), {"/proc/run"});
  write(out("full") / "letters.txt", "mine");
  expect_refused(train(out("full")), {"not empty and no run", "--out"});
  EXPECT_EQ(names_in(out("full")), Words{"letters.txt"});
}

TEST_F(RunFaults, DamagedCheckpointsAreToldAndPassedOver) {
  start(40);
  const std::vector<int64_t> steps = list_steps(out() / "checkpoints");
  ASSERT_EQ(steps.size(), 2u);
  fs::resize_file(last_step(out()) / "model.safetensors", 4000);
  const ProgramResult result = run_program(train(out(), kLong));
  EXPECT_EQ(result.status, 0);
  expect_in(result.err, {step_folder(out() / "checkpoints", steps[1]).string(), "passed over",
                         "model.safetensors has 4000 bytes"});
  EXPECT_EQ(json_lines_of(result.out).front().at("step"), steps[0] + 1);
  must(train(out("straight"), kLong));
  expect_same_end(out(), out("straight"));
  expect_sound(out());
}

TEST_F(RunFaults, WithoutAValidCheckpointNothingIsOverwritten) {
  start(40);
  for (const int64_t step : list_steps(out() / "checkpoints"))
    fs::remove(step_folder(out() / "checkpoints", step) / "pointwork.toml");
  const auto before = files();
  const ProgramResult result = run_program(train(out(), kLong));
  EXPECT_EQ(result.status, 1);
  expect_in(result.err, {"no valid checkpoint", "pointwork.toml is missing", "--force"});
  EXPECT_EQ(files(), before);
  Words forced = train(out(), kLong);
  forced.emplace_back("--force");
  must(forced);
  must(train(out("straight"), kLong));
  expect_same_end(out(), out("straight"));
}

TEST_F(RunFaults, TooManyBadStepsStopARun) {
  // A learning rate at which the loss is soon no number.
  const Words wild = {
      "--optimizer.learning_rate=1e30", "--schedule.warmup_steps=0", "--guard.max_skipped=3",
      "--guard.spike_factor=0",         "--train.steps=50",          "--evaluate.every=0"};
  const ProgramResult result = run_program(train(out(), wild));
  EXPECT_EQ(result.status, 1);
  expect_in(result.err, {"error: training stopped at step", "3 steps in a row",
                         "optimizer.learning_rate", "was skipped"});
  std::vector<Json> lines = json_lines_of(result.out);
  EXPECT_TRUE(lines.back().contains("error"));
  lines.pop_back();
  EXPECT_TRUE(lines.back().at("skipped"));
  EXPECT_EQ(result.err.find("nan loss"), std::string::npos);
}

}  // namespace
}  // namespace pointwork::test
