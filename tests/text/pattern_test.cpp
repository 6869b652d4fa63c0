// Regular expressions in Oniguruma's syntax, run by PCRE2.

#include "pointwork/text/pattern.h"

#include "pointwork/text/unicode.h"
#include "tests/text/cases.h"

namespace pointwork::test {
namespace {

std::vector<std::string> matches(const Pattern& pattern, const std::string& text) {
  std::vector<std::string> found;
  pattern.each(text, [&](Pattern::Match match) {
    found.push_back(text.substr(match.begin, match.end - match.begin));
  });
  return found;
}

using Found = std::vector<std::string>;

TEST(Pattern, FindsFromLeftToRight) {
  EXPECT_EQ(matches(Pattern::regex("[0-9]{1,3}"), "12345 6"), Found({"123", "45", "6"}));
  EXPECT_EQ(matches(Pattern::literal("aa"), "aaaaa"), Found({"aa", "aa"}));
  EXPECT_EQ(matches(Pattern::literal("."), "a.b"), Found({"."}));
  EXPECT_EQ(matches(Pattern::regex("x*"), "axb"), Found({"", "x", ""}));
  EXPECT_EQ(matches(Pattern::regex("(?=\xC3\xA9)"), "\xC3\xA9\xC3\xA9"), Found({"", ""}));
  EXPECT_EQ(matches(Pattern::regex("a"), ""), Found());
}

// Every character, in and out of sets.
TEST(Pattern, WhiteSpaceAndWordsAreUnicodes) {
  const Pattern space = Pattern::regex("\\s"), no_space = Pattern::regex("\\S");
  const Pattern in_set = Pattern::regex("[\\s]"), not_in_set = Pattern::regex("[^\\s]");
  const Pattern no_space_in_set = Pattern::regex("[\\S]"), word = Pattern::regex("[\\w]");
  const Pattern no_word = Pattern::regex("\\W");
  int spaces = 0;
  for (uint32_t code = 0; code < 0x20000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    const std::string text = utf8(code);
    const bool white = is_white_space(code);
    ASSERT_EQ(space.find(text, 0).has_value(), white) << code;
    ASSERT_EQ(no_space.find(text, 0).has_value(), !white) << code;
    ASSERT_EQ(in_set.find(text, 0).has_value(), white) << code;
    ASSERT_EQ(not_in_set.find(text, 0).has_value(), !white) << code;
    ASSERT_EQ(no_space_in_set.find(text, 0).has_value(), !white) << code;
    ASSERT_NE(word.find(text, 0).has_value(), no_word.find(text, 0).has_value()) << code;
    spaces += white;
  }
  EXPECT_EQ(spaces, 25);
  EXPECT_FALSE(space.find(utf8(0x180E), 0));
  EXPECT_TRUE(word.find(utf8(0x301), 0));
}

TEST(Pattern, WhatIsReadDifferentlyIsSpeltOut) {
  EXPECT_EQ(matches(Pattern::regex("\\h+"), "xyFa9"), Found({"Fa9"}));
  EXPECT_EQ(matches(Pattern::regex("\\v"), "a\x0B\n"), Found({"\x0B"}));
  EXPECT_EQ(matches(Pattern::regex("\\u00e9"), "\xC3\xA9"), Found({"\xC3\xA9"}));
  EXPECT_EQ(matches(Pattern::regex("^a$"), "b\na\nc"), Found({"a"}));
  EXPECT_EQ(matches(Pattern::regex("\\ba"), "a ba " + utf8(0x301) + "a"), Found({"a"}));
  EXPECT_EQ(matches(Pattern::regex("\\p{Han}+"), utf8(0x4E2D) + utf8(0x3001)),
            Found({utf8(0x4E2D)}));
  EXPECT_EQ(matches(Pattern::regex("(?i:'s)"), "'S'" + utf8(0x17F)),
            Found({"'S", "'" + utf8(0x17F)}));
}

TEST(Pattern, WhatIsNotSupportedIsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> wrong = {{"[a[b]]", "a set within a set"},
                                                                  {"[a&&b]", "&&"},
                                                                  {"a{2,3}+", "{n,m}+"},
                                                                  {"a{,3}", "{,m}"},
                                                                  {"(?<name>a)", "group"},
                                                                  {"(?m:a)", "group"},
                                                                  {"\\Ka", "\\K"},
                                                                  {"[\\W]", "\\W"},
                                                                  {"[a", "does not end"},
                                                                  {"\\pL", "\\p"},
                                                                  {"(a", "not valid"},
                                                                  {"\\u12", "\\u"},
                                                                  {"[[:alpha:]]", "a set within"},
                                                                  {"(*UTF)a", "(*"},
                                                                  {"a\\", "not valid"},
                                                                  {"\\p{Nothing}", "not valid"},
                                                                  {"[\\b]", "\\b in a set"}};
  for (const auto& [expression, part] : wrong) {
    if (expression == "a\\") continue;
    expect_in(error_of([&] { Pattern::regex(expression); }), {expression, part});
  }
  expect_in(error_of([&] { Pattern::regex("a\\"); }), {"a\\"});
  error_of([&] { Pattern::literal(""); });
}

TEST(Pattern, LongRunsAreNoProblem) {
  const Pattern pattern = Pattern::regex(
      "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+");
  for (const std::string& one :
       {std::string("a"), std::string(" "), std::string("!"), utf8(0x4E2D)}) {
    std::string text;
    for (int i = 0; i < 300'000; ++i) text += one;
    EXPECT_EQ(matches(pattern, text), Found({text}));
  }
}

TEST(Unicode, NormalFormsAndCase) {
  EXPECT_EQ(normal_form("e\xCC\x81", NormalForm::kNfc), "\xC3\xA9");
  EXPECT_EQ(normal_form("\xC3\xA9", NormalForm::kNfd), "e\xCC\x81");
  EXPECT_EQ(normal_form("\xEF\xAC\x81", NormalForm::kNfkc), "fi");
  EXPECT_EQ(normal_form("\xEF\xAC\x81", NormalForm::kNfc), "\xEF\xAC\x81");
  EXPECT_EQ(normal_form("plain", NormalForm::kNfkd), "plain");
  EXPECT_EQ(lowercase(utf8(0x130) + utf8(0x3A3) + "A"), "i" + utf8(0x307) + utf8(0x3C3) + "a");
  EXPECT_EQ(white_space_before(" \xC2\xA0 a "), 4u);
  EXPECT_EQ(white_space_after(" a\xE3\x80\x80 "), 4u);
  EXPECT_EQ(white_space_after(" \n"), 2u);
}

}  // namespace
}  // namespace pointwork::test
