#include "pointwork/files/strict_json.h"

#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

TEST(JsonFault, IsNoneOfGoodJson) {
  for (const char* text : {"{}", "[]", "null", "-1.5e3", "\"ä\"",
                           " {\"a\": [1, {\"a\": 2}], \"b\": {}} ", "[{\"k\": 1}, {\"k\": 2}]"})
    EXPECT_EQ(json_fault(text, 3), "") << text;
}

TEST(JsonFault, IsADuplicateKeyAtAnyDepth) {
  EXPECT_EQ(json_fault("{\"a\":1,\"b\":2,\"a\":3}", 9), "has the key 'a' twice");
  EXPECT_EQ(json_fault("{\"a\":{\"x\":1,\"\\u0078\":2}}", 9), "has the key 'x' twice");
  EXPECT_EQ(json_fault("[{\"a\\n\":1,\"a\\n\":1}]", 9), "has the key 'a ' twice");
}

TEST(JsonFault, IsGreatDepth) {
  EXPECT_EQ(json_fault("[[{}]]", 3), "");
  EXPECT_EQ(json_fault("[[{}]]", 2), "is nested more than 2 deep");
  EXPECT_EQ(json_fault("{\"a\":[]}", 1), "is nested more than 1 deep");
  EXPECT_EQ(json_fault(std::string(10'000'000, '['), 8), "is nested more than 8 deep");
}

TEST(JsonFault, IsWhateverIsNotJson) {
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("{}{}"), std::string("[1,]"),
        std::string("nul"), std::string("\"\xff\""), std::string("{}\0", 3), std::string("1e999")})
    EXPECT_EQ(json_fault(text, 9), "is not valid JSON") << text;
}

}  // namespace
}  // namespace pointwork::test
