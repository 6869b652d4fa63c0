#include "pointwork/base/printable.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pointwork/base/rng.h"

namespace pointwork::test {
namespace {

TEST(Printable, LeavesTextAlone) {
  for (const char* text : {"", "model.hidden_size", "größer als 1 µm", "日本語", "👩‍🚀"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, MakesOneLineWithoutControlCharacters) {
  EXPECT_EQ(printable("a\nb\r\nc\td"), "a b  c d");
  EXPECT_EQ(printable(std::string_view("\x1b[31mred\0\x7f", 10)), "?[31mred??");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m \xc2\xa0"),
            "?31m \xc2\xa0");  // a control sequence of C1; a space that does not break
}

// What Unicode's table of well-formed sequences leaves out: each broken byte is one '?'.
TEST(Printable, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("\x80"
                      "a"),
            "?a");
  EXPECT_EQ(printable("\xc0\xaf"), "??");            // overlong '/'
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "???");       // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(printable("\xf0\x8f\xbf\xbf"), "????");  // overlong
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // above U+10FFFF
  EXPECT_EQ(printable("\xe6\x97"), "??");            // cut short
  EXPECT_EQ(printable("\xe6\x97"
                      "a"),
            "??a");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("0123456789", 10), "0123456789");
  EXPECT_EQ(printable("0123456789a", 10), "0123456...");
  EXPECT_EQ(printable("ääääää", 12), "ääääää");
  EXPECT_EQ(printable("ääääää", 11), "ääää...");
  EXPECT_EQ(printable("ääääää", 10), "äää...");
  EXPECT_EQ(printable("abc", 2), "..");
  EXPECT_EQ(printable(std::string(1 << 20, 'x'), 80).size(), 80u);
}

TEST(Printable, AnyBytesBecomeShortUtf8) {
  const uint64_t key = stream_key(1, "printable");
  for (uint64_t i = 0; i < 2000; ++i) {
    std::string bytes;
    for (uint64_t j = 0; j < i % 50; ++j) bytes += static_cast<char>(random_below(256, key, j, i));
    const std::string shown = printable(bytes, 20);
    EXPECT_LE(shown.size(), 20u);
    EXPECT_NO_THROW(nlohmann::json(shown).dump()) << i;  // strict about UTF-8
    EXPECT_EQ(printable(shown, 20), shown) << i;
  }
}

}  // namespace
}  // namespace pointwork::test
