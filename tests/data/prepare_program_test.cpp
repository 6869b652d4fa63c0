// The verb, as a user meets it.

#include <csignal>

#include "tests/data/byte_tokenizer.h"
#include "tests/data/cases.h"
#include "tests/support/program.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::json;

class PrepareProgram : public testing::Test {
 protected:
  PrepareProgram() {
    write(folder_ / "tokenizer" / "tokenizer.json", byte_tokenizer());
    write(folder_ / "in.jsonl", json_lines(200));
  }

  ProgramResult run(std::vector<std::string> arguments, const ProgramOptions& options = {}) const {
    arguments.insert(arguments.begin(), "prepare");
    return run_program(arguments, options);
  }
  std::vector<std::string> usual(const std::string& input) const {
    return {folder_ / input, "--tokenizer", folder_ / "tokenizer", "--out", folder_ / "data"};
  }
  // One line on standard error, with the status.
  void expect_refused(const ProgramResult& result, int status,
                      const std::vector<std::string>& parts) const {
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_TRUE(result.err.starts_with("pointwork prepare: error: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    expect_in(result.err, parts);
  }
  std::vector<std::string> left() const { return names_in(folder_.path()); }

  TemporaryFolder folder_;
};

const std::vector<std::string> kBefore = {"in.jsonl", "tokenizer"};

TEST_F(PrepareProgram, AnswersInJson) {
  std::vector<std::string> arguments = usual("in.jsonl");
  for (const char* more : {"--json", "--validation", "0.2", "--seed", "3"})
    arguments.emplace_back(more);
  const ProgramResult result = run(arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json.at("out"), (folder_ / "data").string());
  EXPECT_EQ(json.at("documents"), 200);
  EXPECT_EQ(json.at("seed"), 3);
  const Manifest manifest = read_manifest(folder_ / "data");
  EXPECT_EQ(json.at("hash"), manifest.hash());
  EXPECT_EQ(json.at("train").at("tokens"), manifest.train.tokens);
  EXPECT_GT(manifest.validation.documents, 20);
  const Tokenizer tokenizer = Tokenizer::load(folder_ / "data");
  EXPECT_EQ(tokenizer.hash(), manifest.tokenizer_hash);
}

TEST_F(PrepareProgram, SaysWhatItMade) {
  const ProgramResult result = run(usual("in.jsonl"));
  ASSERT_EQ(result.status, 0) << result.err;
  expect_in(result.out, {(folder_ / "data").string(), "train", "validation", "bytes a token"});
  EXPECT_EQ(result.err.find('\r'), std::string::npos);
}

TEST_F(PrepareProgram, BadInputIsOneLine) {
  expect_refused(run(usual("nowhere")), 1, {"nowhere", "no such file"});
  write(folder_ / "binary.txt", std::string("a\0b", 3));
  expect_refused(run(usual("binary.txt")), 1, {"binary.txt", "NUL"});
  fs::remove(folder_ / "binary.txt");
  expect_refused(
      run({folder_ / "in.jsonl", "--tokenizer", folder_ / "none", "--out", folder_ / "data"}), 1,
      {"none"});
  expect_refused(
      run({folder_ / "in.jsonl", "--tokenizer", folder_ / "tokenizer", "--out", "/proc/data"}), 1,
      {"/proc/data"});
  EXPECT_EQ(left(), kBefore);
}

TEST_F(PrepareProgram, WrongUseIsStatusTwo) {
  std::vector<std::string> arguments = usual("in.jsonl");
  arguments.insert(arguments.end(), {"--format", "josnl"});
  expect_refused(run(arguments), 2, {"josnl", "jsonl"});
  arguments = usual("in.jsonl");
  arguments.insert(arguments.end(), {"--valdation", "0.1"});
  expect_refused(run(arguments), 2, {"--valdation", "--validation"});
  expect_refused(run({folder_ / "in.jsonl", "--out", folder_ / "data"}), 2, {"--tokenizer"});
  EXPECT_EQ(left(), kBefore);
}

TEST_F(PrepareProgram, OverwritesOnlyByForce) {
  ASSERT_EQ(run(usual("in.jsonl")).status, 0);
  const std::string before = content_of(folder_ / "data" / kDatasetFile);
  write(folder_ / "in.jsonl", json_lines(300));
  expect_refused(run(usual("in.jsonl")), 1, {"exists already", "--force"});
  EXPECT_EQ(content_of(folder_ / "data" / kDatasetFile), before);
  std::vector<std::string> arguments = usual("in.jsonl");
  arguments.emplace_back("--force");
  ASSERT_EQ(run(arguments).status, 0);
  EXPECT_EQ(Dataset(folder_ / "data").documents(Split::train) +
                Dataset(folder_ / "data").documents(Split::validation),
            300);
}

TEST_F(PrepareProgram, SignalsAndAFullDiskLeaveNothing) {
  {
    std::ofstream out(folder_ / "in.txt", std::ios::binary);
    std::string block;
    while (block.size() < (1u << 20)) block += concat("some words ", block.size(), "\n");
    for (int i = 0; i < 256; ++i) out << block;
  }
  const std::vector<std::string> before = {"in.jsonl", "in.txt", "tokenizer"};
  for (const int signal : {SIGINT, SIGTERM}) {
    const ProgramResult result = run(
        usual("in.txt"), {.input = "", .environment = {}, .signal = signal, .signal_after = 0.6});
    EXPECT_EQ(result.status, 128 + signal) << result.err;
    EXPECT_EQ(left(), before);
  }
  expect_refused(run({folder_ / "in.txt", "--tokenizer", folder_ / "tokenizer", "--out",
                      folder_ / "data", "--quiet"},
                     {.input = "", .environment = {}, .file_limit = 3 << 20}),
                 1, {"train-00000.tokens", "File too large"});
  EXPECT_EQ(left(), before);
}

}  // namespace
}  // namespace pointwork::test
