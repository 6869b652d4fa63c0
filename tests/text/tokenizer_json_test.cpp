// tokenizer.json from elsewhere: what is read, and what is refused by name.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/byte_tokenizer.h"
#include "tests/support/data.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

// Bytes, two merges and the end of text, spelt as Hugging Face spells it.
Json usual() {
  Json json = Json::parse(byte_tokenizer());
  json["added_tokens"][0]["id"] = 258;
  json["model"]["vocab"]["ab"] = 256;
  json["model"]["vocab"]["abc"] = 257;
  json["model"]["merges"] = {"a b", "ab c"};
  return json;
}

// The message for `json`; it begins with the source's name.
std::string refused(const std::string& json) {
  const std::string error = error_of([&] { Tokenizer::parse(json, "some/tokenizer.json"); });
  EXPECT_TRUE(error.starts_with("some/tokenizer.json: ")) << error;
  EXPECT_LT(error.size(), 300u) << error;
  return error;
}

std::string refused_after(const std::function<void(Json&)>& change) {
  Json json = usual();
  change(json);
  return refused(json.dump());
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  Json json = usual();
  const Tokenizer old = Tokenizer::parse(json.dump(), "test");
  json["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"ab", "c"})});
  const Tokenizer now = Tokenizer::parse(json.dump(), "test");
  EXPECT_EQ(old.hash(), now.hash());
  EXPECT_EQ(old.encode("abcab"), Ids({257, 256}));
  EXPECT_EQ(old.decode(Ids{257, 256, 258}), "abcab<|endoftext|>");
}

TEST(TokenizerJson, ReadsWhatIsLeftOutOrMeansNothing) {
  Json json = usual();
  const std::string hash = Tokenizer::parse(json.dump(), "test").hash();
  for (const char* key : {"version", "truncation", "padding", "normalizer", "post_processor"})
    json.erase(key);
  for (const char* key : {"type", "dropout", "unk_token", "continuing_subword_prefix",
                          "end_of_word_suffix", "fuse_unk", "byte_fallback"})
    json["model"].erase(key);
  EXPECT_EQ(Tokenizer::parse(json.dump(), "test").hash(), hash);
  json["model"]["unk_token"] = "<|endoftext|>";
  json["model"]["end_of_word_suffix"] = nullptr;
  json["model"]["vocab"]["<|endoftext|>"] = 258;  // there as well
  EXPECT_EQ(Tokenizer::parse(json.dump(), "test").hash(), hash);
}

TEST(TokenizerJson, AddedTokensMayStandAnywhere) {
  Json json = usual();
  for (auto& [token, id] : json["model"]["vocab"].items()) id = id.get<int>() + 1;
  json["added_tokens"][0]["id"] = 0;
  json["added_tokens"].push_back(json["added_tokens"][0]);
  json["added_tokens"][1]["id"] = 259;
  json["added_tokens"][1]["content"] = "caf\xC3\xA9 \xE4\xB8\xAD";
  json.erase("version");
  const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "test");
  EXPECT_EQ(tokenizer.end_of_text(), 0);
  EXPECT_EQ(tokenizer.encode("caf\xC3\xA9 \xE4\xB8\xAD"
                             "abc"),
            Ids({259, 258}));
  EXPECT_EQ(tokenizer.decode(Ids{259}), "caf\xC3\xA9 \xE4\xB8\xAD");
  EXPECT_EQ(Tokenizer::parse(tokenizer.to_json(), "test").hash(), tokenizer.hash());
}

TEST(TokenizerJson, TwoTokensOfTheSameBytesAreToldApart) {
  Json json = usual();
  json["added_tokens"].push_back(json["added_tokens"][0]);
  json["added_tokens"][1]["id"] = 259;
  json["added_tokens"][1]["content"] = "  ";
  json["model"]["vocab"]["\xC4\xA0\xC4\xA0"] = 260;
  json["model"]["merges"].push_back("\xC4\xA0 \xC4\xA0");
  const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "test");
  EXPECT_EQ(tokenizer.encode("  "), Ids({259}));
  EXPECT_EQ(tokenizer.encode("  ", {.special = false}), Ids({260}));
}

TEST(TokenizerJson, WhatThisClassDoesNotDoIsRefusedByName) {
  const auto settings = [](const char* key, const Json& value, std::vector<std::string> parts) {
    parts.insert(parts.begin(), key);
    parts.emplace_back("not supported");
    expect_in(refused_after([&](Json& json) { json[key] = value; }), parts);
  };
  settings("version", "2.0", {"2.0"});
  settings("truncation", {{"max_length", 8}}, {"max_length"});
  settings("padding", {{"strategy", "BatchLongest"}}, {"BatchLongest"});
  settings("normalizer", {{"type", "BertNormalizer"}}, {"BertNormalizer", "NFC"});
  expect_in(refused_after([](Json& json) { json["pre_tokenizer"] = nullptr; }),
            {"ByteLevel", "only the decoder"});
  settings("pre_tokenizer", {{"type", "BertPreTokenizer"}}, {"BertPreTokenizer", "ByteLevel"});
  settings("post_processor", {{"type", "RobertaProcessing"}}, {"RobertaProcessing"});
  settings("decoder", nullptr, {"none", "joined by spaces"});
  settings("decoder", {{"type", "WordPiece"}}, {"WordPiece", "ByteLevel"});
  expect_in(refused_after([](Json& json) {
              json["decoder"] = {{"type", "Fuse"}};
            }),
            {"ByteLevel", "only the pre_tokenizer"});
  settings("surprise", 1, {"surprise"});

  for (const char* type : {"WordPiece", "WordLevel"})
    settings("model", {{"type", type}, {"vocab", Json::object()}}, {type, "BPE"});

  const auto inner = [](const char* part, const char* key, const Json& value) {
    expect_in(refused_after([&](Json& json) { json[part][key] = value; }),
              {part, key, value.dump(), "not supported"});
  };
  inner("pre_tokenizer", "behavior", "Isolated");
  inner("model", "dropout", 0.1);
  inner("model", "continuing_subword_prefix", "##");
  inner("model", "end_of_word_suffix", "</w>");
  inner("model", "max_input_chars_per_word", 100);

  expect_in(refused_after([](Json& json) { json["pre_tokenizer"].erase("add_prefix_space"); }),
            {"pre_tokenizer", "add_prefix_space"});
}

TEST(TokenizerJson, IdsThatDoNotFitAreRefused) {
  const auto vocab = [](const char* token, const Json& id, const std::vector<std::string>& parts) {
    expect_in(refused_after([&](Json& json) { json["model"]["vocab"][token] = id; }), parts);
  };
  vocab("ab", 255, {"id 255", "twice"});
  vocab("new", 258, {"id 258", "twice"});
  vocab("new", 1000, {"\"new\"", "id 1000", "0 to 259"});
  vocab("ab", 259, {"\"ab\"", "id 259", "0 to 258"});
  vocab("ab", -1, {"\"ab\"", "whole number", "-1"});
  vocab("ab", 4294967296 + 256, {"\"ab\"", "whole number", "4294967552"});
  vocab("ab", UINT64_MAX, {"\"ab\"", "whole number"});
  vocab("ab", 1e30, {"\"ab\"", "whole number"});
  vocab("ab", 256.0, {"\"ab\"", "whole number"});
  vocab("ab", "256", {"\"ab\"", "whole number"});
  vocab("ab", nullptr, {"\"ab\"", "whole number", "null"});
  vocab("ab", Json::array(), {"\"ab\"", "whole number"});
  vocab("ab", Json::object(), {"\"ab\"", "whole number"});
  const auto added = [](const char* key, const Json& value, const std::vector<std::string>& parts) {
    expect_in(refused_after([&](Json& json) { json["added_tokens"][0][key] = value; }), parts);
  };
  added("id", 259, {"<|endoftext|>", "id 259", "0 to 258"});
  added("id", 256, {"id 256", "twice"});
  added("id", -1, {"<|endoftext|>", "whole number", "-1"});
  added("id", UINT64_MAX, {"<|endoftext|>", "whole number"});
  added("id", "258", {"<|endoftext|>", "whole number"});
  added("content", "", {"content"});
  added("content", 7, {"content", "7"});
  added("content", "abc", {"abc", "id 258", "gives it 257"});
  added("special", "yes", {"special", "yes"});
  added("normalized", 1, {"normalized"});
  expect_in(refused_after([](Json& json) { json["added_tokens"][0].erase("id"); }),
            {"<|endoftext|>", "no id"});
  expect_in(
      refused_after([](Json& json) { json["added_tokens"].push_back(json["added_tokens"][0]); }),
      {"<|endoftext|>", "twice"});
  expect_in(refused_after([](Json& json) { json["added_tokens"] = Json::object(); }),
            {"added_tokens", "list"});
  expect_in(refused_after([](Json& json) { json["added_tokens"][0] = "x"; }), {"added token"});
}

TEST(TokenizerJson, TokensAndMergesThatDoNotFitAreRefused) {
  const auto merges = [](const Json& last, const std::vector<std::string>& parts) {
    expect_in(refused_after([&](Json& json) { json["model"]["merges"].push_back(last); }), parts);
  };
  merges("a zz", {"merge 2", "\"zz\"", "lacks"});
  merges("b c", {"merge 2", "'bc'", "lacks"});
  merges("a b", {"merge 2", "merge 0", "again"});
  merges("ab", {"merge 2", "two tokens", "\"ab\""});
  merges("a b c", {"merge 2", "two tokens"});
  merges({"a"}, {"merge 2", "two tokens"});
  merges({"a", "b", "c"}, {"merge 2", "two tokens"});
  merges({"a", 1}, {"merge 2", "two tokens"});
  merges({"a", {"b", "c"}}, {"merge 2", "two tokens"});
  merges(5, {"merge 2", "two tokens", "5"});
  merges(Json::object(), {"merge 2", "two tokens"});
  expect_in(refused_after([](Json& json) {
              json["model"]["vocab"].erase("A");
              json["model"]["vocab"]["zz"] = 65;
            }),
            {"'A'", "byte 65"});
  expect_in(refused_after([](Json& json) {
              json["model"]["vocab"].erase("abc");
              json["model"]["vocab"]["\xE4\xB8\xAD"] = 257;
              json["model"]["merges"] = Json::array();
            }),
            {"\xE4\xB8\xAD", "257", "stand for bytes"});
  expect_in(refused_after([](Json& json) {
              json["model"]["vocab"].erase("abc");
              json["model"]["vocab"][""] = 257;
              json["model"]["merges"] = Json::array();
            }),
            {"257", "stand for bytes"});
  for (const char* key : {"vocab", "merges"}) {
    expect_in(refused_after([&](Json& json) { json["model"].erase(key); }), {"model", key});
    expect_in(refused_after([&](Json& json) { json["model"][key] = 3; }), {"model", key});
  }
  expect_in(refused_after([](Json& json) { json["model"]["vocab"] = Json::array(); }), {"vocab"});
  expect_in(refused_after([](Json& json) { json["model"]["merges"] = Json::object(); }),
            {"merges"});
}

TEST(TokenizerJson, KeysGivenTwiceAreRefused) {
  const std::string json = usual().dump();
  const auto twice = [&](const std::string& before, const std::string& more) {
    std::string text = json;
    const size_t at = text.find(before);
    EXPECT_NE(at, std::string::npos) << before;
    text.insert(at + before.size(), more);
    return refused(text);
  };
  expect_in(twice(R"("vocab":{)", R"("ab":256,)"), {"\"ab\"", "twice"});
  expect_in(twice(R"("model":{)", R"("dropout":null,)"), {"\"dropout\"", "twice"});
  expect_in(twice(R"("model":{)", R"("vocab":{},)"), {"\"vocab\"", "twice"});
  expect_in(twice(R"("model":{)", R"("merges":[],)"), {"\"merges\"", "twice"});
  expect_in(twice("{", R"("model":{"vocab":{}},)"), {"\"model\"", "twice"});
}

TEST(TokenizerJson, WhatIsNoJsonIsRefused) {
  const std::string json = usual().dump();
  expect_in(refused(""), {"empty"});
  expect_in(refused("GGUF\x03"), {"not valid JSON", "byte 1 of 5"});
  expect_in(refused(std::string("\0\0\0\0", 4)), {"not valid JSON"});
  expect_in(refused("[1, 2]"), {"no model"});
  expect_in(refused("7"), {"no model"});
  expect_in(refused("{}"), {"no model"});
  expect_in(refused(R"({"model": 3})"), {"model"});
  expect_in(refused(R"({"model": []})"), {"model"});
  expect_in(refused(json + "}"), {"not valid JSON"});
  expect_in(refused(std::string(100'000, '[')), {"nested too deeply"});
  std::string deep = R"({"normalizer": )";
  for (int i = 0; i < 1000; ++i) deep += R"({"a": )";
  expect_in(refused(deep), {"nested too deeply"});
  for (size_t length = 1; length < json.size(); length += 7)
    expect_in(refused(json.substr(0, length)),
              {"not valid JSON", concat("byte ", length, " of ", length)});
}

// Any damage is one error or another tokenizer, never a crash.
TEST(TokenizerJson, DamageIsNeverMoreThanAnError) {
  const std::string json = usual().dump();
  Draw draw(11);
  int read = 0, wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = json;
    for (uint64_t n = draw.below(3) + 1; n > 0; --n)
      text[draw.below(text.size())] = static_cast<char>(draw.below(256));
    try {
      const Tokenizer tokenizer = Tokenizer::parse(text, "test");
      tokenizer.encode("abc any text");
      ++read;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      ++wrong;
    }
  }
  EXPECT_GT(wrong, 2000);
  EXPECT_GT(read, 0);
}

TEST(TokenizerJson, LoadsAFileOrAFolder) {
  const TemporaryFolder folder;
  const std::string json = usual().dump();
  std::ofstream(folder / "tokenizer.json") << json;
  const std::string hash = Tokenizer::parse(json, "test").hash();
  EXPECT_EQ(Tokenizer::load(folder.path()).hash(), hash);
  EXPECT_EQ(Tokenizer::load(folder / "tokenizer.json").hash(), hash);
  expect_in(error_of([&] { Tokenizer::load(folder / "none"); }), {(folder / "none").string()});
  std::filesystem::create_directory(folder / "empty");
  expect_in(error_of([&] { Tokenizer::load(folder / "empty"); }),
            {(folder.path() / "empty" / "tokenizer.json").string()});
}

}  // namespace
}  // namespace pointwork::test
