#pragma once
// Runs of the program on a small data set of bytes, as a user would make them.

#include <sys/wait.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <set>

#include "pointwork/config/config.h"
#include "pointwork/files/manifest.h"
#include "pointwork/files/steps.h"
#include "tests/data/byte_tokenizer.h"
#include "tests/data/cases.h"
#include "tests/support/program.h"
#include "tests/support/sentences.h"

namespace pointwork::test {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

// A model whose step takes about two milliseconds.
inline const std::string kRunConfig = R"([model]
hidden_size = 16
num_hidden_layers = 2
max_position_embeddings = 32
layers = ["dense", "mod"]
)" + kDenseAndMod + R"([train]
steps = 12
batch_size = 4
sequence_length = 32
[schedule]
warmup_steps = 3
[evaluate]
every = 5
sequences = 6
[checkpoint]
every = 4
)";

// The data set and the config, made once a program.
class RunWorld {
 public:
  RunWorld() {
    write(config(), kRunConfig);
    const Tokenizer tokenizer = Tokenizer::parse(byte_tokenizer(), "byte tokenizer");
    prepare({.inputs = {write(folder_ / "in.jsonl", json_lines(2000))},
             .out = data(),
             .source = {},
             .validation_share = 0.1,
             .progress = {}},
            text_encoder(tokenizer));
  }
  fs::path data() const { return folder_ / "data"; }
  fs::path config() const { return folder_ / "tiny.toml"; }
  fs::path at(const std::string& name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
};

inline const RunWorld& run_world() {
  static const RunWorld world;
  return world;
}

inline size_t lines_in(const fs::path& file) {
  const std::string content = content_of(file);
  return static_cast<size_t>(std::count(content.begin(), content.end(), '\n'));
}

inline std::vector<Json> json_lines_of(const std::string& text) {
  std::vector<Json> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line));
  return all;
}

// What a step's record says of training, without what depends on the machine's mood.
inline Json timeless(Json record) {
  for (const char* key : {"seconds", "tokens_per_second", "mfu", "mfu_palm", "peak_memory_bytes"})
    record.erase(key);
  return record;
}

class RunTest : public testing::Test {
 protected:
  // On one thread: work this small only waits for a second.
  static Words train(const fs::path& out, const Words& more = {},
                     const fs::path& data = run_world().data()) {
    Words all = {"train",   run_world().config(), "--data", data, "--out", out, "--json",
                 "--quiet", "--threads",          "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  static ProgramResult must(const Words& arguments, const ProgramOptions& options = {}) {
    const ProgramResult result = run_program(arguments, options);
    EXPECT_EQ(result.status, 0) << result.err;
    return result;
  }

  // Sends `signal` once the run has told at least `steps` steps.
  static ProgramOptions after_steps(const fs::path& out, size_t steps, int signal) {
    return {.watch = [=, sent = false](int process, double) mutable {
      if (sent || lines_in(out / "metrics.jsonl") < steps) return;
      kill(process, signal);
      sent = true;
    }};
  }

  // One line on standard error, the same as JSON, and status 1.
  static void expect_refused(const Words& arguments, const Words& parts,
                             const ProgramOptions& options = {}) {
    const ProgramResult result = run_program(arguments, options);
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_TRUE(result.err.starts_with("pointwork train: error: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    expect_in(result.err, parts);
    const std::vector<Json> lines = json_lines_of(result.out);
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ("pointwork train: error: " +
                  lines.back().at("error").at("message").get<std::string>() + "\n",
              result.err);
  }

  static fs::path last_step(const fs::path& out) {
    return step_folder(out / "checkpoints", list_steps(out / "checkpoints").back());
  }

  // Every checkpoint there is whole, and nothing stands beside them.
  static void expect_sound(const fs::path& out) {
    for (const auto& entry : fs::directory_iterator(out / "checkpoints")) {
      const std::string name = entry.path().filename();
      EXPECT_EQ(name.find('.'), std::string::npos) << name;
      const ManifestReport report = verify_manifest(entry.path());
      EXPECT_TRUE(report.problems.empty()) << name << ": " << report.problems.front();
    }
  }

  // Two runs ended with the same bits: weights, trainer, and every step's record.
  static void expect_same_end(const fs::path& got, const fs::path& want) {
    const fs::path a = last_step(got), b = last_step(want);
    EXPECT_EQ(a.filename(), b.filename());
    for (const char* name : {"model.safetensors", "trainer/optimizer.safetensors"})
      EXPECT_TRUE(content_of(a / name) == content_of(b / name)) << name;
    EXPECT_EQ(timeless(Json::parse(content_of(a / "trainer/state.json"))),
              timeless(Json::parse(content_of(b / "trainer/state.json"))));
    const auto records = json_lines_of(content_of(got / "metrics.jsonl")),
               wanted = json_lines_of(content_of(want / "metrics.jsonl"));
    ASSERT_EQ(records.size(), wanted.size());
    for (size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].at("step"), i + 1);
      EXPECT_EQ(timeless(records[i]), timeless(wanted[i])) << i;
    }
  }

  fs::path out(const std::string& name = "run") const { return folder_ / name; }

  TemporaryFolder folder_;
};

}  // namespace pointwork::test
