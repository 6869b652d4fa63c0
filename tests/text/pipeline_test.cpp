// The stages of a tokenizer.json: what each does by itself, and what is refused by name.

#include <nlohmann/json.hpp>

#include "pointwork/text/bounds.h"
#include "pointwork/text/decoder.h"
#include "pointwork/text/normalizer.h"
#include "pointwork/text/pre_tokenizer.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::json;

Settings settings(const Json& json) { return Settings(json, "stage", "file"); }

std::vector<std::string> divided(const Json& json, const std::string& text) {
  std::vector<std::string> pieces;
  PreTokenizer(settings(json)).divide(text, true, [&](std::string_view piece) {
    pieces.emplace_back(piece);
  });
  return pieces;
}

using Pieces = std::vector<std::string>;

Json split(const std::string& behavior, bool invert = false) {
  return {{"type", "Split"},
          {"pattern", {{"String", "-"}}},
          {"behavior", behavior},
          {"invert", invert}};
}

TEST(PreTokenizer, BehaviorsOfSplit) {
  EXPECT_EQ(divided(split("Isolated"), "a-b--c"), Pieces({"a", "-", "b", "-", "-", "c"}));
  EXPECT_EQ(divided(split("Removed"), "a-b--c"), Pieces({"a", "b", "c"}));
  EXPECT_EQ(divided(split("MergedWithPrevious"), "-a-b--c"), Pieces({"-", "a-", "b-", "-", "c"}));
  EXPECT_EQ(divided(split("MergedWithNext"), "a-b--c-"), Pieces({"a", "-b", "-", "-c", "-"}));
  EXPECT_EQ(divided(split("Contiguous"), "a-b--c"), Pieces({"a", "-", "b", "--", "c"}));
  EXPECT_EQ(divided(split("Removed", true), "a-b--c"), Pieces({"-", "-", "-"}));
  EXPECT_EQ(divided(split("Removed"), "---"), Pieces());
}

TEST(PreTokenizer, MetaspaceMarksTheBeginning) {
  const auto metaspace = [](const std::string& scheme) {
    return Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}};
  };
  EXPECT_EQ(divided(metaspace("always"), "a  b"), Pieces({"_a", "_", "_b"}));
  EXPECT_EQ(divided(metaspace("never"), "a b"), Pieces({"a", "_b"}));
  EXPECT_EQ(divided(metaspace("first"), " a b"), Pieces({"_a", "_b"}));
  const Json after = {{"type", "Sequence"},
                      {"pretokenizers", {split("Removed"), metaspace("first")}}};
  EXPECT_EQ(divided(after, "a-b"), Pieces({"_a", "b"}));
  EXPECT_EQ(divided(after, "-b"), Pieces({"b"}));
}

TEST(PreTokenizer, CutsBeforeMarksLoseNothing) {
  PreTokenizer cut;
  cut.cut_before("_");
  Pieces pieces;
  cut.divide("__a_b__c_", true, [&](std::string_view piece) { pieces.emplace_back(piece); });
  EXPECT_EQ(pieces, Pieces({"__a", "_b", "__c", "_"}));
}

TEST(PreTokenizer, RefusesByName) {
  const auto refused = [](const Json& json, const std::vector<std::string>& parts) {
    expect_in(error_of([&] { PreTokenizer{settings(json)}; }), parts);
  };
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Json marks = {{"type", "Metaspace"}, {"replacement", "_"}};
  const auto sequence = [](const Json& a, const Json& b) {
    return Json{{"type", "Sequence"}, {"pretokenizers", {a, b}}};
  };
  refused({{"type", "UnicodeScripts"}}, {"file: stage", "UnicodeScripts is not supported"});
  refused(sequence(bytes, marks), {"Metaspace after ByteLevel"});
  refused(sequence(marks, bytes), {"ByteLevel after Metaspace"});
  refused(sequence(bytes, bytes), {"ByteLevel twice"});
  refused(split("Sideways"), {"behavior", "Sideways", "Isolated"});
  refused({{"type", "Split"}, {"behavior", "Removed"}}, {"no pattern"});
  refused({{"type", "Split"}, {"pattern", {{"Regex", "[a&&b]"}}}, {"behavior", "Removed"}},
          {"[a&&b]", "&& is not supported"});
  refused({{"type", "Split"}, {"pattern", {{"String", ""}}}, {"behavior", "Removed"}}, {"empty"});
  refused({{"type", "Metaspace"}, {"replacement", "ab"}}, {"one character", "ab"});
  refused({{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "second"}}, {"second"});
  refused({{"type", "Digits"}, {"individual_digits", 1}}, {"individual_digits", "true or false"});
  refused({{"type", "Digits"}, {"base", 7}}, {"base"});
  refused({{"type", "Sequence"}, {"pretokenizers", {}}, {"more", 1}}, {"more"});
  refused({{"type", "Sequence"}, {"pretokenizers", 7}}, {"must be a list"});
  refused({{"type", 7}}, {"type must be text"});
}

TEST(Normalizer, StepsInOrder) {
  const Json json = {{"type", "Sequence"},
                     {"normalizers",
                      {{{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}},
                       {{"type", "Lowercase"}},
                       {{"type", "Replace"}, {"pattern", {{"Regex", " +"}}}, {"content", "_"}},
                       {{"type", "Prepend"}, {"prepend", ">"}},
                       {{"type", "NFC"}}}}};
  const Normalizer normalizer(settings(json));
  EXPECT_EQ(normalizer("  A  E\xCC\x81 "), ">a_\xC3\xA9_");
  EXPECT_EQ(normalizer(""), "");
}

TEST(Normalizer, RefusesByName) {
  const auto refused = [](const Json& json, const std::vector<std::string>& parts) {
    expect_in(error_of([&] { Normalizer{settings(json)}; }), parts);
  };
  refused({{"type", "StripAccents"}}, {"StripAccents is not supported", "NFC"});
  refused({{"type", "NFC"}, {"fast", true}}, {"fast"});
  refused({{"type", "Precompiled"}, {"precompiled_charsmap", "!"}}, {"not base64"});
  refused({{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}}, {"too few"});
  refused({{"type", "Precompiled"}, {"precompiled_charsmap", "////fwAA"}}, {"trie", "2147483647"});
  refused({{"type", "Precompiled"}, {"precompiled_charsmap", "BAAAAAAAAAABAQ=="}}, {"zero byte"});
  refused({{"type", "Strip"}, {"strip_left", true}}, {"no strip_right"});
}

TEST(Decoder, BytesOfTokens) {
  const Json llama = {{"type", "Sequence"},
                      {"decoders",
                       {{{"type", "Replace"}, {"pattern", {{"String", "_"}}}, {"content", " "}},
                        {{"type", "ByteFallback"}},
                        {{"type", "Fuse"}},
                        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  const Decoder decoder(settings(llama));
  EXPECT_EQ(decoder.bytes_of("_a_"), " a ");
  EXPECT_EQ(decoder.bytes_of("<0x0A>"), "\n");
  EXPECT_EQ(decoder.bytes_of("<0x00>"), std::string(1, '\0'));
  for (const char* text : {"<0x-1>", "<0x0a>", "<0x0A", "<0xGG>", "0x0A>>"})
    EXPECT_EQ(decoder.bytes_of(text), text);
  EXPECT_EQ(decoder.start().times, 1u);
  const auto refused = [](const Json& json, const std::vector<std::string>& parts) {
    expect_in(error_of([&] { Decoder{settings(json)}; }), parts);
  };
  refused({{"type", "CTC"}}, {"CTC is not supported"});
  const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 0}, {"stop", 1}};
  refused({{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, strip}}},
          {"stop = 1 after Fuse"});
  refused({{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 1}}, {"start", "-1"});
  refused({{"type", "Strip"}, {"content", "ab"}, {"start", 0}, {"stop", 1}}, {"one character"});
}

TEST(Bounds, OfATemplate) {
  const auto template_of = [](const Json& single, const Json& ids) {
    return Json{{"type", "TemplateProcessing"},
                {"single", single},
                {"pair", Json::array()},
                {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", ids}, {"tokens", {"<s>"}}}}}}};
  };
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json begin = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const Bounds both = read_bounds(settings(template_of({begin, text, begin}, {3, 4})), 5);
  EXPECT_EQ(both.before, Ids({3, 4}));
  EXPECT_EQ(both.after, Ids({3, 4}));
  const auto refused = [](const Json& json, const std::vector<std::string>& parts) {
    expect_in(error_of([&] { read_bounds(settings(json), 5); }), parts);
  };
  refused(template_of({begin, text}, {5}), {"<s>", "id 5", "0 to 4"});
  refused(template_of({begin, text}, {-1}), {"<s>", "id -1"});
  refused(template_of(Json::array({begin}), {1}), {"without the text"});
  refused(template_of({text, text}, {1}), {"text twice"});
  refused({{"type", "BertProcessing"}}, {"BertProcessing is not supported"});
  Json other = template_of({begin, text}, {1});
  other["special_tokens"] = Json::object();
  refused(other, {"no <s>"});
}

}  // namespace
}  // namespace pointwork::test
