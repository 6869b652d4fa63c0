#include "pointwork/data/pieces.h"

#include "pointwork/data/utf8.h"
#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

TEST(Utf8, FindsTheFirstByteThatIsNoText) {
  EXPECT_EQ(first_invalid(""), 0u);
  const std::string good =
      "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xEF\xBF\xBF \xF4\x8F\xBF\xBF";
  EXPECT_EQ(first_invalid(good), good.size());
  for (const std::string bad :
       {"\x80", "\xC0\xAF", "\xC3", "\xC3(", "\xE0\x80\xAF", "\xED\xA0\x80", "\xE2\x82",
        "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    for (const size_t before : {0, 1, 7, 8, 9, 16}) {
      EXPECT_EQ(first_invalid(std::string(before, 'a') + bad + "bcdefghij"), before);
    }
  }
  EXPECT_EQ(first_invalid(std::string("abcdefgh\0ijklmnop", 17)), 8u);
}

TEST(Utf8, ReplacesEachIllFormedRunOnce) {
  uint64_t replaced = 0;
  EXPECT_EQ(replace_invalid(std::string("a\xE2\x82z\xFF\xFF\0b", 8), replaced),
            "a\uFFFDz\uFFFD\uFFFD\uFFFDb");
  EXPECT_EQ(replaced, 4u);
}

TEST(Pieces, CutsStandBeforeWhiteSpaceAfterSomethingElse) {
  EXPECT_EQ(last_safe_cut("one two three", 13), 7u);
  EXPECT_EQ(last_safe_cut("one two\nthree four", 18),
            7u + 6u);  // the line end is in the first half
  EXPECT_EQ(last_safe_cut("one two three\nfour five", 23), 13u);
  EXPECT_EQ(last_safe_cut("one  two", 8), 3u);
  EXPECT_EQ(last_safe_cut("without", 7), 0u);
  EXPECT_EQ(last_safe_cut("a\xC2\xA0 b", 6), 0u);  // after a no-break space
  EXPECT_EQ(last_safe_cut(" a", 2), 0u);
}

TEST(Pieces, JoinToTheWhole) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += concat(i % 11 ? " w" : "\n\n\t", i, i % 13 ? "" : "  ");
  const SourceOptions options{.piece_bytes = 100};
  PieceBuffer buffer(options, "name");
  std::string joined;
  size_t pieces = 0;
  Document document;
  const auto take = [&] {
    EXPECT_EQ(document.starts, pieces == 0);
    joined += document.text;
    ++pieces;
  };
  for (size_t at = 0; at < text.size(); at += 37) {
    buffer.append(std::string_view(text).substr(at, 37), at);
    while (buffer.take(document)) {
      EXPECT_FALSE(document.ends);
      EXPECT_LE(document.text.size(), 100u);
      take();
    }
  }
  ASSERT_TRUE(buffer.finish(document));
  EXPECT_TRUE(document.ends);
  take();
  EXPECT_EQ(joined, text);
  EXPECT_GT(pieces, text.size() / 100);
  EXPECT_FALSE(buffer.finish(document));
}

TEST(Pieces, ARunWithoutWhiteSpaceIsCutWithANote) {
  std::vector<std::string> notes;
  const SourceOptions options{.note = [&](const std::string& note) { notes.push_back(note); }};
  PieceBuffer buffer(options, "name");
  std::string text;
  while (text.size() < PieceBuffer::kLongestRun + 100) text += "\u20AC";
  buffer.append(text, 0);
  Document first, second;
  ASSERT_TRUE(buffer.take(first));
  ASSERT_TRUE(buffer.finish(second));
  EXPECT_EQ(first.text + second.text, text);
  EXPECT_EQ(first_invalid(first.text), first.text.size());
  ASSERT_EQ(notes.size(), 1u);
  expect_in(notes[0], {"name", "16 MiB"});
}

TEST(Pieces, BinaryDataIsNamedWithItsPlace) {
  const SourceOptions options;
  PieceBuffer buffer(options, "a.txt");
  buffer.append("good ", 0);
  buffer.append("b\xFF", 5);
  Document document;
  expect_in(error_of([&] { buffer.finish(document); }),
            {"a.txt", "UTF-8", "byte 6", "--replace-invalid"});
}

}  // namespace
}  // namespace pointwork::test
