// SentencePiece's .model and llama2.c's tokenizer: what they mean, and every damage refused.

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pointwork/files/file.h"
#include "pointwork/text/protobuf.h"
#include "pointwork/text/sentencepiece_file.h"
#include "tests/support/data.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

// Protobuf, written.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  return out + static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(uint32_t field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
std::string real(uint32_t field, float value) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &value, 4);
  return varint(field << 3 | 5) + out;
}
std::string piece(const std::string& text, float score, uint64_t type = 1) {
  return bytes(1, bytes(1, text) + real(2, score) + number(3, type));
}

const std::string kSpace = "\xE2\x96\x81";

// a, b and ab, spaces before words; `trainer` and `normalizer` are more fields of these.
std::string model(uint64_t type, const std::string& trainer = "",
                  const std::string& normalizer = "", const std::string& more = "") {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece(kSpace, -2) +
         piece("a", -3) + piece("b", -4) + piece("ab", -1) + more +
         bytes(2, number(3, type) + trainer) + bytes(3, normalizer);
}

Tokenizer loaded(const std::string& content, const std::string& name = "x.model") {
  const TemporaryFolder folder;
  std::ofstream(folder / name, std::ios::binary) << content;
  return Tokenizer::load(folder / name);
}

std::string refused(const std::string& content) {
  const std::string error = error_of([&] { read_sentencepiece(content, "some.model"); });
  EXPECT_TRUE(error.starts_with("some.model: ")) << error;
  EXPECT_LT(error.size(), 300u) << error;
  return error;
}

TEST(SentencePiece, UnigramAndBpeOfAFewPieces) {
  for (const uint64_t type : {1, 2}) {
    const Tokenizer tokenizer = loaded(model(type));
    EXPECT_EQ(tokenizer.vocab_size(), 7);
    EXPECT_EQ(tokenizer.encode("  ab  a "), Ids({3, 6, 3, 4}));
    EXPECT_EQ(tokenizer.encode("xy"), Ids({3, 0}));
    EXPECT_EQ(tokenizer.encode(""), Ids());
    EXPECT_EQ(tokenizer.encode("   "), Ids());
    EXPECT_EQ(tokenizer.encode("<s>b</s>"), Ids({1, 3, 5, 2}));
    EXPECT_EQ(tokenizer.encode("b", {.special = false, .bounds = true}), Ids({1, 3, 5}));
    EXPECT_EQ(tokenizer.decode(Ids{1, 3, 6, 3, 4}), "<s>ab a");
    EXPECT_EQ(tokenizer.decode(Ids{1, 3, 6, 3, 4}, /*skip_special=*/true), "ab a");
    EXPECT_EQ(tokenizer.decode(Ids{0}), " \xE2\x81\x87 ");
    EXPECT_EQ(tokenizer.end_of_text(), 2);
  }
}

TEST(SentencePiece, SettingsOfTheNormalizer) {
  const std::string off = number(3, 0) + number(4, 0);
  EXPECT_EQ(loaded(model(2, "", off)).encode(" a  b"), Ids({3, 4, 3, 3, 5}));
  EXPECT_EQ(loaded(model(2, "", number(4, 0))).encode(" a"), Ids({3, 3, 4}));
  EXPECT_EQ(loaded(model(1, "", number(5, 0), piece(" ", -1))).encode("a a"), Ids({7, 4, 7, 4}));
}

TEST(SentencePiece, UserDefinedAndUnusedPieces) {
  EXPECT_EQ(loaded(model(2, "", "", piece("ba", 0, 4))).encode("aba"), Ids({3, 4, 7}));
  // Of n bytes scores n times the best score, less a little.
  EXPECT_EQ(loaded(model(1, "", "", piece("ba", 0, 4))).encode("aba"), Ids({3, 6, 4}));
  EXPECT_EQ(loaded(model(1, "", "", piece("ba", 0, 4) + piece("c", 0))).encode("aba"),
            Ids({3, 4, 7}));
  for (const uint64_t type : {1, 2}) {
    EXPECT_EQ(loaded(model(type, "", "", piece("abab", 9, 5))).encode("abab"), Ids({3, 6, 6}));
  }
}

TEST(SentencePiece, WhatIsNotSupportedOrDoesNotFitIsRefused) {
  expect_in(refused(model(3)), {"model_type word", "unigram and bpe"});
  expect_in(refused(model(4)), {"model_type char"});
  expect_in(refused(model(77)), {"model_type 77"});
  expect_in(refused(model(1, number(24, 1))), {"treat_whitespace_as_suffix"});
  expect_in(refused(model(1) + bytes(5, bytes(2, "x"))), {"denormalizer_spec"});
  expect_in(refused(model(1, "", "", piece("a", 0))), {"'a'", "twice", "4 and 7"});
  expect_in(refused(model(1, "", "", piece("", 0))), {"piece 7 is empty"});
  expect_in(refused(model(1, "", "", piece("\xFF", 0))), {"piece 7", "UTF-8"});
  expect_in(refused(model(1, "", "", piece("c", 0, 9))), {"'c'", "type 9"});
  expect_in(refused(model(1, "", "", piece("c", 0, 2))), {"one unknown piece, found 2"});
  expect_in(refused(model(1, "", "", piece("<0x-1>", 0, 6))), {"<0x-1>", "name a byte"});
  expect_in(refused(model(1, "", "", piece("c", NAN))), {"'c'", "no number"});
  expect_in(refused(model(1, number(35, 1))), {"byte_fallback", "byte 0"});
  expect_in(refused(bytes(2, "")), {"no pieces"});
  expect_in(refused(""), {"no pieces"});
  // An old or foreign rule map.
  expect_in(error_of([&] { loaded(model(1, "", bytes(2, "abc"))); }), {"precompiled_charsmap"});
  expect_in(error_of([&] {
              loaded(model(1, "", bytes(2, std::string("\xFF\xFF\xFF\x7F") + "abcdefg")));
            }),
            {"precompiled_charsmap", "2147483647"});
}

TEST(Protobuf, DamageIsNamed) {
  expect_in(refused("\x0A\x7F"
                    "abc"),
            {"cut off", "byte 2 of 5", "127 bytes"});
  expect_in(refused("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"
                    "abc"),
            {"cut off", "bytes should"});
  expect_in(refused(std::string(20, '\xFF')), {"a number does not end"});
  expect_in(refused("\x0B"), {"no known kind"});
  expect_in(refused(std::string(2, '\0')), {"no field"});
  expect_in(refused(number(1, 5)), {"field 1 is not text"});
  expect_in(refused(bytes(1, number(2, 5))), {"field 2 is not a float"});
  expect_in(refused(bytes(1, bytes(3, "x"))), {"field 3 is not a number"});
}

// Any damage is one error or another tokenizer, never a crash.
TEST(SentencePiece, DamageIsNeverMoreThanAnError) {
  const std::string folder = std::string(POINTWORK_SOURCE_DIR) + "/tests/golden/tokenizers/";
  Draw draw(21);
  int read = 0, wrong = 0;
  for (const char* name : {"unigram.model", "bpe.model", "bpe_llama.model"}) {
    const std::string whole = read_file(folder + name);
    for (int i = 0; i < 600; ++i) {
      std::string text = whole;
      if (i % 3 == 0) text.resize(draw.below(text.size()));
      for (uint64_t n = draw.below(4); n > 0 && !text.empty(); --n)
        text[draw.below(text.size())] = static_cast<char>(draw.below(256));
      try {
        const Tokenizer tokenizer = loaded(text);
        tokenizer.decode(tokenizer.encode("the cat e\xCC\x81 \xEF\xAC\x81 any text"));
        ++read;
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        ++wrong;
      }
    }
  }
  EXPECT_GT(wrong, 600);
  EXPECT_GT(read, 100);
}

std::string plain(float score, int32_t length, const std::string& text) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &score, 4);
  std::memcpy(out.data() + 4, &length, 4);
  return out + text;
}
std::string plain(float score, const std::string& text) {
  return plain(score, static_cast<int32_t>(text.size()), text);
}

// llama2.c's file: three, the bytes, and a few pieces.
std::string llama2c(int32_t longest = 8) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &longest, 4);
  out += plain(0, "<unk>") + plain(0, "\n<s>\n") + plain(0, "\n</s>\n");
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    out += plain(0, name);
  }
  for (const auto& [text, score] : std::vector<std::pair<std::string, float>>{
           {" ", -9}, {"a", -8}, {"b", -7}, {" a", -1}, {"ab", -0.5F}, {"aa", -0.5F}})
    out += plain(score, text);
  return out;
}

TEST(Llama2c, MergesByScoreAndFallsBackToBytes) {
  const Tokenizer tokenizer = loaded(llama2c(), "tok.bin");
  EXPECT_EQ(tokenizer.vocab_size(), 265);
  EXPECT_EQ(tokenizer.encode("ab"), Ids({259, 263}));
  EXPECT_EQ(tokenizer.encode("aaa"), Ids({259, 264, 260}));  // of equals the leftmost
  EXPECT_EQ(tokenizer.encode(" a"), Ids({259, 262}));
  EXPECT_EQ(tokenizer.encode("\n\xC3\xA9", {.bounds = true}), Ids({1, 259, 13, 198, 172}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(" a\xE2\x96\x81 ab\n"), true), " a\xE2\x96\x81 ab\n");
  EXPECT_EQ(tokenizer.id_of("<s>"), 1);
  EXPECT_EQ(tokenizer.end_of_text(), 2);
  const Tokenizer again = Tokenizer::parse(tokenizer.to_json(), "again");
  EXPECT_EQ(again.hash(), tokenizer.hash());
  EXPECT_EQ(again.encode("aaa ab\xC3\xA9"), tokenizer.encode("aaa ab\xC3\xA9"));
  // It is told apart by what it holds, too.
  EXPECT_EQ(loaded(llama2c(), "tokenizer").hash(), tokenizer.hash());
  StreamDecoder stream(tokenizer, /*at_start=*/true);
  EXPECT_EQ(stream.push(1), "<s>");
  EXPECT_EQ(stream.push(262), "a");
  EXPECT_EQ(stream.push(262), " a");
  StreamDecoder middle(tokenizer);
  EXPECT_EQ(middle.push(262), " a");
}

TEST(Llama2c, DamageIsNamed) {
  const auto wrong = [](const std::string& content, const std::vector<std::string>& parts) {
    const std::string error = error_of([&] { read_llama2c_tokenizer(content, "tok.bin"); });
    EXPECT_TRUE(error.starts_with("tok.bin: ")) << error;
    expect_in(error, parts);
  };
  const std::string whole = llama2c();
  wrong("", {"cut off at byte 0 of 0"});
  wrong(whole.substr(0, whole.size() - 1), {"cut off in token 264"});
  wrong(whole.substr(0, whole.size() - 4), {"cut off at byte"});
  wrong(llama2c(0), {"longest token has 0"});
  wrong(llama2c(-1), {"longest token has -1"});
  wrong(llama2c(5), {"token 2", "6 bytes", "longest has 5"});
  wrong(whole + plain(0, -1, ""), {"token 265", "-1 bytes"});
  wrong(whole + plain(0, INT32_MAX, "x"), {"token 265", "2147483647"});
  wrong(whole + plain(0, "a"), {"'a'", "twice"});
  wrong(whole + plain(NAN, "c"), {"'c'", "no number"});
  wrong(whole + plain(0, ""), {"265 is empty"});
  wrong(whole.substr(0, 44), {"fewer than three and one for each byte"});
  std::string changed = whole;
  changed.replace(changed.find("<0x00>"), 6, "<0x-1>");
  wrong(changed, {"<0x-1>", "name a byte"});
  changed.replace(changed.find("<0x-1>"), 6, "<0x01>");
  wrong(changed, {"<0x01>", "twice"});
}

// The form that others read keeps what they have no word for.
TEST(SentencePiece, ItsTokenizerJsonIsRefusedWhereItDoesNotFit) {
  const Json whole = Json::parse(loaded(model(2)).to_json());
  EXPECT_EQ(whole["model"]["merges"], Json::array({Json::array({"a", "b"})}));
  const auto wrong = [&](const std::function<void(Json&)>& change,
                         const std::vector<std::string>& parts) {
    Json json = whole;
    change(json["model"]);
    const std::string error = error_of([&] { Tokenizer::parse(json.dump(), "t.json"); });
    EXPECT_TRUE(error.starts_with("t.json: ")) << error;
    expect_in(error, parts);
  };
  wrong([](Json& m) { m["sentencepiece"]["types"] = "23"; }, {"7 tokens", "2 types"});
  wrong([](Json& m) { m["sentencepiece"]["types"] = "2331119"; }, {"type 9"});
  wrong([](Json& m) { m["sentencepiece"]["scores"] = {1, 2}; }, {"2 scores"});
  wrong([](Json& m) { m["sentencepiece"]["scores"][0] = "x"; }, {"score", "x"});
  wrong([](Json& m) { m["sentencepiece"]["begin"] = 7; }, {"begin", "7"});
  wrong([](Json& m) { m["sentencepiece"]["more"] = 7; }, {"more", "not supported"});
  wrong([](Json& m) { m["sentencepiece"].erase("unk_surface"); }, {"unk_surface"});
  wrong([](Json& m) { m["vocab"]["ab"] = 9; }, {"\"ab\"", "id 9"});
  wrong([](Json& m) { m["vocab"]["ab"] = 5; }, {"piece 6 is empty"});
}

}  // namespace
}  // namespace pointwork::test
