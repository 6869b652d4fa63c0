#include "pointwork/report/html.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pointwork/report/run_folder.h"
#include "pointwork/report/token_text.h"

namespace pointwork {
namespace {

TEST(Html, EscapesWhatMarksUp) {
  EXPECT_EQ(escape_html("<a href=\"x\">Tom & 'Jerry'</a>"),
            "&lt;a href=&quot;x&quot;&gt;Tom &amp; &#39;Jerry&#39;&lt;/a&gt;");
  EXPECT_EQ(escape_html(std::string_view("a\0\x01\x1b\tb\n", 7)), "a\tb\n");
  EXPECT_EQ(escape_html("caf\xc3\xa9"), "café");
  EXPECT_EQ(escape_html("half \xc3"), "half \uFFFD");
}

TEST(Html, JsonCannotEndItsElement) {
  const nlohmann::ordered_json json = {{"a", "</script><!--<script>"}, {"b", "half \xc3"}};
  const std::string text = script_json(json);
  EXPECT_EQ(text.find('<'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(text)["a"], "</script><!--<script>");
}

TEST(Html, ShortensByCharacters) {
  EXPECT_EQ(shortened("éééé", 4), "éééé");
  EXPECT_EQ(shortened("ééééé", 4), "éééé…");
  EXPECT_EQ(shortened("", 3), "");
}

TEST(TokenText, MarksThePromptAndColoursByShare) {
  EXPECT_EQ(token_spans({"In", "\n", "<x>"}, {0.5, 0, 1 / 3.0}, 1),
            "<span class=given style=--s:0.5>In</span><span><i>↵</i>\n</span>"
            "<span style=--s:0.33>&lt;x&gt;</span>");
}

TEST(TokenText, SharesThatAreAllTheSameTellNothing) {
  for (const double share : telling_shares({1, kUnknown, 1})) EXPECT_TRUE(std::isnan(share));
  const std::vector<double> mixed = {1, 0.5, 1};
  EXPECT_EQ(telling_shares(mixed), mixed);
  EXPECT_EQ(telling_shares({0, 0}), (std::vector<double>{0, 0}));
}

}  // namespace
}  // namespace pointwork
