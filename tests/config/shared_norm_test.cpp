// parallel with norm = "outside": which branches can do without a norm of their own.

#include "tests/config/cases.h"

namespace pointwork::test {
namespace {

std::string with(const std::string& of, const std::string& more = "") {
  return mod_toml("", "[branch.both]\nkind = \"parallel\"\nnorm = \"outside\"\nof = [" + of +
                          "]\n[branch.layer]\nkind = \"chain\"\nof = [\"both\"]\n" + more);
}

const std::string kExperts =
    "[branch.experts]\nkind = \"routed\"\nof = \"mlp\"\nroute = { choice = \"token\", num_experts "
    "= "
    "3 }\n";

TEST(SharedNorm, IsOfLeavesAndRoutedMlps) {
  EXPECT_EQ(problems(parse(with("\"attention\", \"mlp\""))), Strings{});
  EXPECT_EQ(problems(parse(with("\"experts\", \"mlp\"", kExperts))), Strings{});
  EXPECT_EQ(
      problems_of(with("\"dense\"")),
      Strings{"branch.both.norm is \"outside\", but 'dense' is of kind \"chain\", expected an "
              "attention, an mlp or a routed mlp"});
  EXPECT_EQ(problems_of(with("\"mod\"")),
            Strings{"branch.both.norm is \"outside\", but 'mod' is of kind \"routed\", expected an "
                    "attention, an mlp or a routed mlp"});
  EXPECT_EQ(problems_of(with("\"experts\"",
                             "[branch.experts]\nkind = \"routed\"\nof = \"mlp\"\n"
                             "norm = \"inside\"\n")),
            Strings{"branch.both.norm is \"outside\", but 'experts' has norm = \"inside\""});
  EXPECT_EQ(problems_of(with("\"norm\"", "[branch.norm]\nkind = \"mlp\"\n")),
            Strings{"branch.both.norm is \"outside\", but 'norm' has the norm's own name"});
}

}  // namespace
}  // namespace pointwork::test
