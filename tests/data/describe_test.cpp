#include "pointwork/data/describe.h"

#include "tests/data/byte_tokenizer.h"
#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

class DescribeTest : public testing::Test {
 protected:
  DescribeTest() {
    const Tokenizer tokenizer = Tokenizer::parse(byte_tokenizer(), "test");
    PrepareOptions options{.inputs = {write(folder_ / "in.jsonl", json_lines(300))},
                           .out = data_,
                           .source = {},
                           .validation_share = 0.2,
                           .shard_tokens = 2000,
                           .progress = {}};
    manifest_ = prepare(options, text_encoder(tokenizer));
  }

  // The only problem there is.
  std::string problem() const {
    const DatasetReport report = verify_dataset(data_);
    EXPECT_EQ(report.problems.size(), 1u);
    return report.problems.empty() ? "" : report.problems[0];
  }

  TemporaryFolder folder_;
  const fs::path data_ = folder_ / "data";
  Manifest manifest_;
};

TEST_F(DescribeTest, SaysWhatItIs) {
  const DatasetReport report = verify_dataset(data_);
  EXPECT_EQ(report.problems, std::vector<std::string>());
  EXPECT_EQ(describe_dataset(data_).facts, report.facts);
  EXPECT_EQ(report.facts["documents"], 300);
  EXPECT_EQ(report.facts["vocab_size"], 257);
  EXPECT_EQ(report.facts["hash"], manifest_.hash());
  EXPECT_EQ(report.facts["train"]["tokens"], manifest_.train.tokens);
  EXPECT_GT(report.facts["validation"]["documents"], 0);
  // Bytes are the tokens, so only the marks add to them.
  EXPECT_EQ(manifest_.train.source_bytes + manifest_.train.documents, manifest_.train.tokens);
}

TEST_F(DescribeTest, MarksWithinATextAreOrdinaryText) {
  const PrepareOptions options{.inputs = {write(folder_ / "mark.txt", "a <|endoftext|> b")},
                               .out = folder_ / "marked",
                               .source = {},
                               .validation_share = 0,
                               .progress = {}};
  prepare(options, text_encoder(Tokenizer::parse(byte_tokenizer(), "test")));
  EXPECT_EQ(documents_of(options.out, Split::train),
            std::vector<std::string>({"a <|endoftext|> b$"}));
}

TEST_F(DescribeTest, EveryFlippedBitIsFound) {
  for (const char* name : {"validation-00000.tokens", "train-00001.tokens"}) {
    const std::string whole = content_of(data_ / name);
    for (size_t at = 0; at < whole.size(); at += 97) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
      write(data_ / name, damaged);
      expect_in(problem(), {name});
    }
    write(data_ / name, whole);
  }
  const std::string whole = content_of(data_ / kDatasetFile);
  const size_t sources = whole.find("\"sources\"");
  for (size_t at = 0; at < sources; at += 7) {
    // Spaces between values mean nothing.
    if (whole[at] == ' ' || whole[at] == '\n') continue;
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write(data_ / kDatasetFile, damaged);
    expect_in(problem(), {kDatasetFile});
  }
}

TEST_F(DescribeTest, TruncatedAndMissingFilesAreFoundTogether) {
  const std::string whole = content_of(data_ / "train-00000.tokens");
  write(data_ / "train-00000.tokens", whole.substr(0, whole.size() - 8));
  fs::remove(data_ / "train-00001.tokens");
  fs::remove(data_ / "tokenizer.json");
  const DatasetReport report = verify_dataset(data_);
  ASSERT_EQ(report.problems.size(), 3u);
  expect_in(report.problems[0], {"train-00000.tokens", "cut short"});
  expect_in(report.problems[1], {"train-00001.tokens", "No such file"});
  expect_in(report.problems[2], {"tokenizer.json"});
}

TEST_F(DescribeTest, AnotherTokenizerIsFound) {
  std::string other = byte_tokenizer();
  const std::string from = "\"a\":97,\"b\":98", to = "\"b\":97,\"a\":98";
  ASSERT_NE(other.find(from), std::string::npos);
  other.replace(other.find(from), from.size(), to);
  write(data_ / "tokenizer.json", other);
  expect_in(problem(), {"tokenizer.json", "not the tokenizer", manifest_.tokenizer_hash});
}

TEST(Describe, AFolderThatIsNone) {
  const TemporaryFolder folder;
  const DatasetReport report = verify_dataset(folder.path());
  ASSERT_EQ(report.problems.size(), 1u);
  expect_in(report.problems[0], {"no data set"});
}

}  // namespace
}  // namespace pointwork::test
