// Tiny tokenizers of every kind and the ids that their own libraries give them
// (tools/tokenizer_cases.py).

#include <filesystem>
#include <nlohmann/json.hpp>

#include "pointwork/files/file.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kFolder = fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden" / "tokenizers";

Json golden(const std::string& name) { return Json::parse(read_file(kFolder / name)); }

std::vector<std::string> files(const std::string& extension) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(extension) && !name.ends_with(".cases.json") && name != "texts.json")
      found.push_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Normalised added tokens decode here to what they are called.
bool holds_normalized(const Json& file, const Ids& ids) {
  for (const Json& token : file.at("added_tokens")) {
    if (token.at("normalized").get<bool>() &&
        std::find(ids.begin(), ids.end(), token.at("id").get<int32_t>()) != ids.end())
      return true;
  }
  return false;
}

TEST(Golden, EveryKindOfTokenizerJson) {
  const auto texts = golden("texts.json").get<std::vector<std::string>>();
  const std::vector<std::string> names = files(".json");
  ASSERT_EQ(names.size(), 30u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Json file = golden(name);
    const Json cases = golden(name.substr(0, name.size() - 5) + ".cases.json");
    const Tokenizer tokenizer = Tokenizer::load(kFolder / name);
    size_t decoded = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const Json& ids = cases.at("ids")[i];
      ASSERT_EQ(tokenizer.encode(texts[i], {.bounds = true}), ids.get<Ids>()) << texts[i];
      const Json& other = cases.at("ordinary")[i];
      const Ids ordinary = (other.is_null() ? ids : other).get<Ids>();
      ASSERT_EQ(tokenizer.encode(texts[i], {.special = false}), ordinary) << texts[i];
      const Json& text = cases.at("decoded")[i];
      if (holds_normalized(file, ordinary)) continue;
      ASSERT_EQ(lossy(tokenizer.decode(ordinary)),
                text.is_null() ? texts[i] : text.get<std::string>());
      ++decoded;
    }
    EXPECT_GT(decoded, texts.size() / 2);
    EXPECT_EQ(Tokenizer::parse(tokenizer.to_json(), "again").hash(), tokenizer.hash());
    EXPECT_EQ(tokenizer.to_json(), read_file(kFolder / name));
  }
}

TEST(Golden, EveryKindOfSentencePieceModel) {
  const auto texts = golden("texts.json").get<std::vector<std::string>>();
  const std::vector<std::string> names = files(".model");
  ASSERT_EQ(names.size(), 6u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Json cases = golden(name + ".cases.json");
    const Tokenizer tokenizer = Tokenizer::load(kFolder / name);
    const Tokenizer again = Tokenizer::parse(tokenizer.to_json(), "again");
    EXPECT_EQ(again.hash(), tokenizer.hash());
    EXPECT_EQ(again.vocab_size(), tokenizer.vocab_size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const Ids ids = cases.at("ids")[i].get<Ids>();
      ASSERT_EQ(tokenizer.encode(texts[i], {.special = false}), ids) << texts[i];
      ASSERT_EQ(again.encode(texts[i], {.special = false}), ids) << texts[i];
      const Json& text = cases.at("decoded")[i];
      const std::string expected = text.is_null() ? texts[i] : text.get<std::string>();
      ASSERT_EQ(tokenizer.decode(ids, /*skip_special=*/true), expected);
      ASSERT_EQ(again.decode(ids, /*skip_special=*/true), expected);
      StreamDecoder stream(tokenizer, /*at_start=*/true);
      std::string streamed;
      for (const int32_t id : ids) streamed += stream.push(id);
      ASSERT_EQ(streamed + stream.finish(), lossy(tokenizer.decode(ids)));
    }
  }
}

TEST(Golden, TokenizersOfOneThreadDoNotDisturbEachOther) {
  const auto texts = golden("texts.json").get<std::vector<std::string>>();
  std::vector<Tokenizer> all;
  std::vector<std::vector<Ids>> expected;
  for (const std::string& name : files(".json")) {
    all.push_back(Tokenizer::load(kFolder / name));
    expected.emplace_back();
    for (const std::string& text : texts) expected.back().push_back(all.back().encode(text));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    for (size_t t = 0; t < all.size(); ++t) ASSERT_EQ(all[t].encode(texts[i]), expected[t][i]);
  }
}

// Bytes that are no UTF-8 are as if U+FFFD stood there.
TEST(Golden, WhatIsNoUtf8IsMended) {
  Draw draw(31);
  for (const char* name : {"qwen2.json", "llama2.json", "t5.json", "bpe.model"}) {
    const Tokenizer tokenizer = Tokenizer::load(kFolder / name);
    for (int i = 0; i < 300; ++i) {
      const std::string text = broken_text(draw, 12);
      ASSERT_EQ(tokenizer.encode(text), tokenizer.encode(lossy(text))) << name;
    }
  }
}

}  // namespace
}  // namespace pointwork::test
