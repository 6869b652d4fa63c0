// The verb, as a user meets it.

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pointwork/files/file.h"
#include "tests/support/data.h"
#include "tests/support/program.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

class TokenizerProgram : public testing::Test {
 protected:
  TokenizerProgram() { write("corpus.txt", language(1, 5000)); }

  fs::path write(const std::string& name, const std::string& content) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }
  static ProgramResult run(Words arguments, const ProgramOptions& options = {}) {
    arguments.insert(arguments.begin(), "tokenizer");
    return run_program(arguments, options);
  }
  Words training(const Words& more = {}) const {
    Words arguments = {"train", folder_ / "corpus.txt", "--vocab-size", "500", "--out", out()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string out() const { return folder_ / "tokenizer"; }
  std::string made() const {
    const ProgramResult result = run(training());
    EXPECT_EQ(result.status, 0) << result.err;
    return out();
  }
  Words left() const {
    Words names;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      names.push_back(entry.path().filename());
    return names;
  }
  // One line on standard error, with the status.
  static void expect_refused(const ProgramResult& result, int status, const Words& parts) {
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_TRUE(result.err.starts_with("pointwork tokenizer: error: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    expect_in(result.err, parts);
  }

  TemporaryFolder folder_;
};

TEST_F(TokenizerProgram, TrainsWhatTheLibraryTrains) {
  const ProgramResult result = run(training({"--json"}));
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out);
  const Tokenizer expected = trained(language(1, 5000), 500);
  EXPECT_EQ(json.at("out"), out());
  EXPECT_EQ(json.at("vocab_size"), 500);
  EXPECT_EQ(json.at("hash"), expected.hash());
  EXPECT_EQ(json.at("special_tokens"), Json({{"<|endoftext|>", 499}}));
  EXPECT_EQ(json.at("text_bytes"), language(1, 5000).size());
  EXPECT_EQ(read_file(folder_.path() / "tokenizer" / "tokenizer.json"), expected.to_json());
}

TEST_F(TokenizerProgram, TrainsOnWhatPrepareReads) {
  // The marks of documents are no text to learn from; neither are JSON's names.
  std::string wiki, lines;
  for (int i = 0; i < 50; ++i) {
    const std::string text = language(static_cast<uint64_t>(i), 60) + "\n";
    wiki += concat("<doc id=\"", i, "\" url=\"u\" title=\"t\">\n", text, "</doc>\n");
    lines += Json({{"zzz", "qqqq"}, {"body", text}}).dump() + "\n";
  }
  const auto learnt = [&](Words arguments, const std::string& name) {
    arguments.insert(arguments.begin(), "train");
    arguments.insert(arguments.end(), {"--vocab-size", "400", "--out", folder_ / name});
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    return Tokenizer::load(folder_ / name).hash();
  };
  const std::string from_wiki =
      learnt({write("wiki.txt", wiki), "--format", "wikiextractor"}, "wiki");
  EXPECT_EQ(learnt({write("lines.jsonl", lines), "--field", "body"}, "lines"), from_wiki);
  EXPECT_EQ(learnt({write("in/wiki.txt", wiki).parent_path(), "--threads", "1"}, "folder"),
            from_wiki);
  expect_refused(run({"train", write("ids.bin", std::string(64, 'a')), "--format", "nanogpt",
                      "--vocab-size", "400", "--out", folder_ / "ids"}),
                 1, {"ids.bin", "token ids"});
  EXPECT_FALSE(fs::exists(folder_ / "ids"));
}

TEST_F(TokenizerProgram, EncodeThenDecodeGivesTheSameBytes) {
  const std::string tokenizer = made();
  Draw draw(14);
  std::string bytes = language(7, 200) + broken_text(draw, 3000) + std::string(3, '\0') + "\r\n";
  const ProgramResult ids = run({"encode", tokenizer}, {.input = bytes});
  ASSERT_EQ(ids.status, 0) << ids.err;
  EXPECT_EQ(ids.err, "");
  EXPECT_EQ(ids.out.find_first_not_of("0123456789 \n"), std::string::npos);
  const ProgramResult text = run({"decode", tokenizer}, {.input = ids.out});
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_TRUE(text.out == bytes);

  const ProgramResult array = run({"encode", tokenizer, "--json"}, {.input = bytes});
  const Json json = Json::parse(array.out);
  EXPECT_EQ(json.get<Ids>(), Tokenizer::load(tokenizer).encode(bytes));
  EXPECT_TRUE(run({"decode", tokenizer}, {.input = array.out}).out == bytes);
  const ProgramResult answer = run({"decode", tokenizer, "--json"}, {.input = array.out});
  EXPECT_EQ(Json::parse(answer.out).at("text").get<std::string>(), lossy(bytes));
}

TEST_F(TokenizerProgram, EmptyInputGivesEmptyOutput) {
  const std::string tokenizer = made();
  EXPECT_EQ(run({"encode", tokenizer}).out, "\n");
  EXPECT_EQ(run({"encode", tokenizer, "--json"}).out, "[]\n");
  EXPECT_EQ(run({"decode", tokenizer}, {.input = " \n\t"}).out, "");
  EXPECT_EQ(run({"decode", tokenizer}, {.input = "[]"}).out, "");
}

TEST_F(TokenizerProgram, SpecialTokens) {
  const std::string tokenizer = made();
  const ProgramOptions text{.input = "a<|endoftext|>"};
  const std::string a = run({"encode", tokenizer}, {.input = "a"}).out;
  EXPECT_EQ(run({"encode", tokenizer}, text).out, a.substr(0, a.size() - 1) + " 499\n");
  EXPECT_EQ(run({"encode", tokenizer, "--ordinary"}, text).out.find("499"), std::string::npos);
  EXPECT_EQ(run({"decode", tokenizer}, {.input = "499 0"}).out, "<|endoftext|>!");
  EXPECT_EQ(run({"decode", tokenizer, "--skip-special"}, {.input = "499 0"}).out, "!");
}

TEST_F(TokenizerProgram, WhatAreNoIdsIsRefused) {
  const std::string tokenizer = made();
  const auto refused = [&](const std::string& input, const Words& parts) {
    const ProgramResult result = run({"decode", tokenizer}, {.input = input});
    expect_refused(result, 1, parts);
    EXPECT_EQ(result.out, "");
  };
  refused("1 2 500", {"500", "0 to 499"});
  refused("1 x2", {"'x2'", "number 2"});
  refused("1,2", {"'1,2'"});
  refused("1 -1", {"'-1'", "number 2"});
  refused("99999999999999999999", {"99999999999999999999"});
  refused("[1, \"a\"]", {"\"a\"", "number 2"});
  refused("[1, 2", {"JSON array"});
}

TEST_F(TokenizerProgram, ATokenizerIsReplacedOnlyIfAsked) {
  const std::string tokenizer = made();
  const std::string before = Tokenizer::load(tokenizer).hash();
  Words other = training();
  other[3] = "300";
  expect_refused(run(other), 1, {tokenizer, "--force"});
  EXPECT_EQ(Tokenizer::load(tokenizer).hash(), before);
  other.emplace_back("--force");
  EXPECT_EQ(run(other).status, 0);
  EXPECT_EQ(Tokenizer::load(tokenizer).vocab_size(), 300);

  write("tokenizer/notes.txt", "mine");
  expect_refused(run(other), 1, {tokenizer, "notes.txt"});
  EXPECT_EQ(read_file(folder_.path() / "tokenizer" / "notes.txt"), "mine");
  other[5] = folder_ / "corpus.txt";
  expect_refused(run(other), 1, {"corpus.txt", "folder"});
  EXPECT_EQ(read_file(folder_ / "corpus.txt"), language(1, 5000));
}

TEST_F(TokenizerProgram, BadInputIsRefusedAndNothingIsWritten) {
  const auto refused = [&](const Words& arguments, int status, const Words& parts) {
    expect_refused(run(arguments), status, parts);
    EXPECT_FALSE(fs::exists(folder_ / "tokenizer"));
  };
  Words small = training();
  small[3] = "256";
  refused(small, 1, {"vocab size", "257", "256"});
  small[3] = "many";
  refused(small, 2, {"--vocab-size"});
  refused({"train", folder_ / "none.txt", "--vocab-size", "300", "--out", out()}, 1, {"none.txt"});
  refused({"train", write("empty.txt", ""), "--vocab-size", "300", "--out", out()}, 1, {"empty"});
  refused({"train",
           write("bad.txt",
                 "a\xFF"
                 "b"),
           "--vocab-size", "300", "--out", out()},
          1, {"bad.txt"});
  refused({"train", folder_ / "corpus.txt", "--out", out()}, 2, {"--vocab-size"});
  refused({"train", folder_ / "corpus.txt", "--vocab-size", "300"}, 2, {"--out"});
  refused({"train", "--vocab-size", "300", "--out", out()}, 2, {"INPUT"});
  refused(training({"--vocab-sze", "3"}), 2, {"--vocab-sze"});
  refused(training({"--train.steps=3"}), 2, {"--train.steps"});
  refused({"encode", folder_ / "none"}, 1, {"none"});
  refused({"info", write("bad.json", "{\"model\": {\"type\": \"WordPiece\"}}")}, 1,
          {"bad.json", "WordPiece", "BPE"});
  refused({"encode"}, 2, {"TOKENIZER"});
  refused({}, 2, {"train, encode, decode or info"});
  refused({"encod", out()}, 2, {"encod"});
}

TEST_F(TokenizerProgram, AFullDiskLeavesNothing) {
  const ProgramResult result = run(training(), {.file_limit = 4096});
  EXPECT_NE(result.status, 0);
  EXPECT_EQ(left(), Words({"corpus.txt"}));
}

TEST_F(TokenizerProgram, OutputThatCannotBeWrittenIsAnError) {
  const std::string tokenizer = made();
  const std::string text = language(7, 20'000);  // more than a buffer holds
  expect_refused(run({"encode", tokenizer}, {.input = text, .file_limit = 4096}), 1,
                 {"standard output"});
  const std::string ids = run({"encode", tokenizer}, {.input = text}).out;
  expect_refused(run({"decode", tokenizer}, {.input = ids, .file_limit = 4096}), 1,
                 {"standard output"});
}

TEST_F(TokenizerProgram, FailuresAreJsonToo) {
  const ProgramResult result = run({"info", folder_ / "none.json", "--json"});
  EXPECT_EQ(result.status, 1);
  const Json error = Json::parse(result.out).at("error");
  EXPECT_EQ(error.at("verb"), "tokenizer");
  expect_in(error.at("message"), {"none.json"});
}

TEST_F(TokenizerProgram, FewerTokensThanAskedForAreTold) {
  Words arguments = training({"--json"});
  arguments[1] = write("short.txt", "abc");
  const ProgramResult result = run(arguments);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(Json::parse(result.out).at("vocab_size"), 259);
  expect_in(result.err, {"259", "500"});
}

TEST_F(TokenizerProgram, QuietSaysNothing) {
  const ProgramResult result = run(training({"--quiet"}));
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out + result.err, "");
}

TEST_F(TokenizerProgram, InfoSaysWhatItHolds) {
  const std::string tokenizer = made();
  const Json json = Json::parse(run({"info", tokenizer, "--json"}).out);
  EXPECT_EQ(json.at("vocab_size"), 500);
  EXPECT_EQ(json.at("hash"), Tokenizer::load(tokenizer).hash());
  expect_in(run({"info", tokenizer + "/tokenizer.json"}).out, {"500", "<|endoftext|> = 499"});
}

TEST_F(TokenizerProgram, ReadsTheTokenizersOfOthers) {
  const fs::path golden = fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden" / "tokenizers";
  fs::create_directories(folder_ / "spm");
  fs::copy_file(golden / "bpe_llama.model", folder_ / "spm" / "tokenizer.model");
  for (const std::string& path : {(golden / "llama3.json").string(), (golden / "t5.json").string(),
                                  std::string(folder_ / "spm")}) {
    const Tokenizer expected = Tokenizer::load(path);
    const Json facts = Json::parse(run({"info", path, "--json"}).out);
    EXPECT_EQ(facts.at("hash"), expected.hash());
    EXPECT_EQ(facts.at("ids_before").get<Ids>(), expected.ids_before());
    const std::string text = "the cat it's";
    const ProgramResult ids = run({"encode", path, "--bounds", "--json"}, {.input = text});
    EXPECT_EQ(Json::parse(ids.out).get<Ids>(), expected.encode(text, {.bounds = true}));
    EXPECT_EQ(run({"decode", path, "--skip-special"}, {.input = ids.out}).out, text);
  }
}

TEST_F(TokenizerProgram, JsonLinesAreTextsOfTheirOwn) {
  const std::string path =
      fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden" / "tokenizers" / "llama2_first.json";
  const Tokenizer tokenizer = Tokenizer::load(path);
  const std::vector<std::string> texts = {"the cat", "", "a\nb", " the"};
  std::string lines, expected;
  for (const std::string& text : texts) {
    lines += Json(text).dump() + "\n";
    expected += Json(tokenizer.encode(text)).dump() + "\n";
  }
  const ProgramResult ids = run({"encode", path, "--jsonl"}, {.input = lines});
  EXPECT_EQ(ids.out, expected) << ids.err;
  EXPECT_EQ(run({"decode", path, "--jsonl"}, {.input = ids.out}).out,
            "\"the cat\"\n\"\"\n\"a\\nb\"\n\"the\"\n");  // one space is its mark
  expect_refused(run({"encode", path, "--jsonl"}, {.input = "\"a\"\n{\n"}), 1,
                 {"line 2", "not valid JSON"});
  expect_refused(run({"encode", path, "--jsonl"}, {.input = "7\n"}), 1, {"line 1", "JSON string"});
  expect_refused(run({"decode", path, "--jsonl"}, {.input = "[-1]\n"}), 1, {"token ids", "-1"});
}

TEST_F(TokenizerProgram, HelpTeaches) {
  const ProgramResult train = run({"train", "--help"});
  EXPECT_EQ(train.status, 0);
  expect_in(train.out, {"--vocab-size", "--out", "--force", "--field", "Examples",
                        "pointwork tokenizer train"});
  expect_in(run({"--help"}).out, {"train", "encode", "decode", "info", "Examples"});
}

TEST_F(TokenizerProgram, InterruptedItWritesNothing) {
  std::string text;  // no word twice: long to learn from
  Draw draw(15);
  while (text.size() < 20'000'000) {
    for (uint64_t word = draw.below(UINT64_MAX), i = 0; i < 12; ++i, word >>= 4)
      text += static_cast<char>('a' + (word & 15));
    text += ' ';
  }
  write("corpus.txt", text);
  Words arguments = training();
  arguments[3] = "50000";
  for (const int signal : {SIGINT, SIGTERM}) {
    const ProgramResult result = run(arguments, {.signal = signal, .signal_after = 0.6});
    EXPECT_EQ(result.status, 128 + signal) << result.err;
    EXPECT_EQ(left(), Words({"corpus.txt"}));
  }
}

}  // namespace
}  // namespace pointwork::test
