#include "pointwork/report/run_folder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pointwork/base/check.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using test::Json;
using test::put;
using test::TemporaryFolder;

std::string message(const std::filesystem::path& run) {
  try {
    read_run_folder(run);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(RunFolder, ReadsEveryFile) {
  const TemporaryFolder folder;
  test::write_run(folder.path(), {.name = "first"});
  const RunFolder run = read_run_folder(folder.path());
  EXPECT_EQ(run.name, "first");
  EXPECT_EQ(run.facts->parameters, 1234567);
  EXPECT_EQ(run.facts->dense_flops.train, 20e6);
  ASSERT_EQ(run.metrics.size(), 200u);
  EXPECT_EQ(run.metrics[99].loss, 4);
  EXPECT_TRUE(std::isnan(run.metrics[0].mfu));
  ASSERT_NE(run.last_evaluation(), nullptr);
  EXPECT_EQ(run.last_evaluation()->step, 200);
  EXPECT_EQ(run.last_evaluation()->layers.at(1).agreement, 0.95);
  EXPECT_TRUE(std::isnan(run.last_evaluation()->layers[0].precision));
  EXPECT_EQ(run.passage->tokens[3], "</script>");
  EXPECT_TRUE(run.passage->layers[1].entered[3]);
  EXPECT_TRUE(std::isnan(run.passage->layers[0].weight[1]));
  EXPECT_EQ(run.samples.at(0).share.at(2), 1);
  EXPECT_EQ(run.bench.at(0).realised_saving, 0.75);
  EXPECT_TRUE(run.routed());
}

TEST(RunFolder, ATornLastLineIsIgnoredAnotherIsNot) {
  const TemporaryFolder folder;
  put(folder / "metrics.jsonl", test::metrics_lines({.steps = 3}) + "{\"step\": 4, \"los");
  EXPECT_EQ(read_run_folder(folder.path()).metrics.size(), 3u);
  put(folder / "metrics.jsonl", "{\"step\": 1}\n{\"step\": 2, \"los\n{\"step\": 3}\n");
  EXPECT_NE(message(folder.path()).find("metrics.jsonl, line 2: not JSON"), std::string::npos);
}

TEST(RunFolder, StepsTakenAgainCountOnce) {
  const TemporaryFolder folder;
  put(folder / "metrics.jsonl",
      "{\"step\":1,\"loss\":9}\n{\"step\":2,\"loss\":8}\n{\"step\":3,\"loss\":7}\n"
      "{\"step\":2,\"loss\":6}\n{\"step\":3,\"loss\":5}\n");
  const RunFolder run = read_run_folder(folder.path());
  ASSERT_EQ(run.metrics.size(), 3u);
  EXPECT_EQ(run.metrics[1].loss, 6);
  EXPECT_EQ(run.metrics[2].loss, 5);
}

TEST(RunFolder, BenchMayHoldSeveralResults) {
  const TemporaryFolder folder;
  put(folder / "run.json", "{}");
  put(folder / "bench.json", R"({"results": [{"name": "a", "seconds": 1}, {"name": "b"}]})");
  const RunFolder run = read_run_folder(folder.path());
  ASSERT_EQ(run.bench.size(), 2u);
  EXPECT_EQ(run.bench[1].name, "b");
}

TEST(RunFolder, DamageIsOneLineThatNamesFileAndField) {
  const TemporaryFolder folder;
  EXPECT_NE(message(folder / "none").find("none: no such run folder"), std::string::npos);
  EXPECT_NE(message(folder.path()).find("neither run.json nor metrics.jsonl"), std::string::npos);
  const auto expect = [&](const char* file, const std::string& content, const char* text) {
    test::write_run(folder.path(), {.steps = 2});
    put(folder / file, content);
    const std::string found = message(folder.path());
    EXPECT_NE(found.find(text), std::string::npos) << file << ": " << found;
    EXPECT_NE(found.find(file), std::string::npos) << found;
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
  };
  expect("run.json", "{\"name\": \"x\"", "not JSON");
  expect("run.json", "[]", "must be a JSON object but is array");
  expect("run.json", "{\"parameters\": \"many\"}", "parameters must be a number but is string");
  expect("run.json", "{\"dataset\": 3}", "dataset: must be a JSON object but is number");
  expect("metrics.jsonl", "{\"loss\": 3}\n", "line 1 has no step");
  expect("metrics.jsonl", "{\"step\": 1, \"loss\": \"x\"}\n", "loss must be a number");
  expect("metrics.jsonl", "{\"step\": 1, \"layers\": 3}\n", "layers must be an array");
  expect("samples.json", "{\"samples\": [{\"prompt\": 3}]}", "samples[0]: prompt must be a string");
  expect("bench.json", "", "not JSON");
  Json routing = test::routing_json();
  routing["layers"][1]["weight"].push_back(1);
  expect("routing.json", routing.dump(), "one entry for each of the 4 tokens");
  routing = test::routing_json();
  routing["tokens"][0] = nullptr;
  expect("routing.json", routing.dump(), "tokens must hold strings but has null");
}

}  // namespace
}  // namespace pointwork
