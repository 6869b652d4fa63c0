// The split against PCRE2 running GPT-2's pattern itself.

#include "pointwork/text/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <thread>

#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

using Pieces = std::vector<std::string>;

Pieces split(std::string_view text) {
  Pieces pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t end = piece_end(text, at);
    EXPECT_GT(end, at);
    EXPECT_LE(end, text.size());
    if (end <= at || end > text.size()) break;
    pieces.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

// GPT-2's pattern; only \s is spelt so that it leaves U+180E out.
class Reference {
 public:
  Reference() {
    const std::string pattern =
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?(?:[^\s\p{L}\p{N}]|\x{180E})+)"
        R"(|[^\S\x{180E}]+(?![\S\x{180E}])|[^\S\x{180E}]+)";
    int error = 0;
    PCRE2_SIZE place = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &place, nullptr);
    EXPECT_NE(code_, nullptr) << error << " at " << place;
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Reference() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Pieces split(const std::string& text) const {
    Pieces pieces;
    for (size_t at = 0; at < text.size();) {
      const int found = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                    at, PCRE2_NO_UTF_CHECK, match_, nullptr);
      const PCRE2_SIZE* const place = pcre2_get_ovector_pointer(match_);
      EXPECT_EQ(found, 1) << "at " << at;
      EXPECT_EQ(place[0], at) << "the pattern leaves nothing out";
      if (found != 1 || place[0] != at) break;
      pieces.push_back(text.substr(at, place[1] - at));
      at = place[1];
    }
    return pieces;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* match_;
};

TEST(Split, FollowsThePatternByHand) {
  EXPECT_EQ(split(""), Pieces());
  EXPECT_EQ(split("Hello world"), Pieces({"Hello", " world"}));
  EXPECT_EQ(split("I'm we'll they'VE 'tis"),
            Pieces({"I", "'m", " we", "'ll", " they", "'", "VE", " '", "tis"}));
  EXPECT_EQ(split("'tis ''s 're"), Pieces({"'t", "is", " ''", "s", " '", "re"}));
  EXPECT_EQ(split("abc123 45.6!?"), Pieces({"abc", "123", " 45", ".", "6", "!?"}));
  EXPECT_EQ(split("a   b"), Pieces({"a", "  ", " b"}));
  EXPECT_EQ(split("a   "), Pieces({"a", "   "}));
  EXPECT_EQ(split("a\n\nb"), Pieces({"a", "\n", "\n", "b"}));
  EXPECT_EQ(split("a \n b"), Pieces({"a", " \n", " b"}));
  EXPECT_EQ(split("a\tb"), Pieces({"a", "\t", "b"}));
  EXPECT_EQ(split("na\xC3\xAFve caf\xC3\xA9"), Pieces({"na\xC3\xAFve", " caf\xC3\xA9"}));
  EXPECT_EQ(split(std::string("a\0b", 3)), Pieces({"a", std::string(1, '\0'), "b"}));
}

TEST(Split, MongolianVowelSeparatorIsNoWhiteSpace) {
  const std::string separator = utf8(0x180E);
  EXPECT_EQ(split("a " + separator + " b"), Pieces({"a", " " + separator, " b"}));
  EXPECT_EQ(split(separator + separator + "!"), Pieces({separator + separator + "!"}));
  const std::string space = utf8(0x2003);
  EXPECT_EQ(split("a" + space + space + "b"), Pieces({"a", space, space, "b"}));
}

TEST(Split, EveryCharacterIsOfTheKindPCRE2Says) {
  const Reference reference;
  for (uint32_t from = 0; from < 0x110000; from += 512) {
    std::string text;
    for (uint32_t code = from; code < from + 512; ++code) {
      if (code >= 0xD800 && code <= 0xDFFF) continue;
      const std::string c = utf8(code);
      text += "a" + c + "a1" + c + "1!" + c + "! " + c + "a  " + c + " " + c + " b\n";
    }
    ASSERT_EQ(split(text), reference.split(text)) << "from U+" << std::hex << from;
  }
}

TEST(Split, EqualsThePatternOnHardText) {
  const Reference reference;
  Draw draw(1);
  for (int i = 0; i < 4000; ++i) {
    const std::string text = hard_text(draw, draw.below(40) + 1);
    ASSERT_EQ(split(text), reference.split(text)) << testing::PrintToString(text);
  }
}

TEST(Split, EqualsThePatternOnRandomCharacters) {
  const Reference reference;
  Draw draw(2);
  for (int i = 0; i < 1000; ++i) {
    std::string text;
    for (uint64_t n = draw.below(60); n > 0; --n) {
      const uint64_t ends[] = {0x80, 0x800, 0x3000, 0x10000, 0x110000};
      const auto code = static_cast<uint32_t>(draw.below(draw.one_of(ends)));
      if (code < 0xD800 || code > 0xDFFF) text += utf8(code);
    }
    ASSERT_EQ(split(text), reference.split(text)) << testing::PrintToString(text);
  }
}

// A byte of no character splits as U+FFFD would in its place.
TEST(Split, BytesOfNoCharacterAreSymbols) {
  const Reference reference;
  Draw draw(3);
  for (int i = 0; i < 4000; ++i) {
    const std::string text = broken_text(draw, draw.below(30) + 1);
    std::string replaced;
    for (size_t at = 0; at < text.size();) {
      const Utf8Character c = utf8_character(text, at);
      replaced += c.length > 0 ? text.substr(at, c.length) : std::string(kReplacement);
      at += std::max(c.length, 1u);
    }
    std::vector<size_t> ends, expected;  // in characters, where a bad byte is one
    const auto characters = [](std::string_view piece) {
      size_t count = 0;
      for (size_t at = 0; at < piece.size(); ++count)
        at += std::max(utf8_character(piece, at).length, 1u);
      return count;
    };
    for (const std::string& piece : split(text)) ends.push_back(characters(piece));
    for (const std::string& piece : reference.split(replaced))
      expected.push_back(characters(piece));
    ASSERT_EQ(ends, expected) << testing::PrintToString(text);
  }
}

TEST(Split, KnowsWhatPythonKnowsOfUtf8) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                  // overlong
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                  // a surrogate
      {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // beyond the last
      {"\xE4\xB8", "\xEF\xBF\xBD"},                                              // cut short
      {"\xE4\xB8z\xF0\x9F\x98", "\xEF\xBF\xBDz\xEF\xBF\xBD"},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"}};
  for (const auto& [bytes, expected] : cases)
    EXPECT_EQ(lossy(bytes), expected) << testing::PrintToString(bytes);
}

TEST(Split, KindsAreLearntOnceByManyThreads) {
  const Reference reference;
  std::string text;
  for (uint32_t code = 0x30000; code > 0x80; code -= 7) {
    if (code < 0xD800 || code > 0xDFFF) text += utf8(code) + (code % 5 == 0 ? " " : "");
  }
  const Pieces expected = reference.split(text);
  std::vector<Pieces> found(4);
  std::vector<std::thread> threads;
  for (Pieces& pieces : found) threads.emplace_back([&] { pieces = split(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Pieces& pieces : found) EXPECT_EQ(pieces, expected);
}

}  // namespace
}  // namespace pointwork::test
