// What does not fit together in a route, one clear line each.

#include "tests/config/cases.h"

namespace pointwork::test {
namespace {

// The problems of a routed branch round an mlp, with these keys of its route, and of the branch.
Strings problems_with(const std::string& route, const std::string& of = "mlp",
                      const std::string& keys = "") {
  return problems_of(
      "[model]\nlayers = [\"moe\"]\n[branch.attention]\nkind = \"attention\"\n"
      "[branch.mlp]\nkind = \"mlp\"\n[branch.dense]\nkind = \"chain\"\n"
      "of = [\"attention\", \"mlp\"]\n[branch.moe]\nkind = \"routed\"\nof = \"" +
      of + "\"\n" + keys + "route = { " + route + " }\n");
}

// `route` stands on line 13 where the branch has no keys besides.
TEST(RouteProblems, NameWhatDoesNotFitTogether) {
  const std::string token = "choice = \"token\", ";
  EXPECT_EQ(
      problems_with(token + "num_experts = 4, top_k = 5"),
      Strings{
          "branch.moe.route.top_k is 5, more than there are choices: num_experts 4 + num_noop 0"});
  EXPECT_EQ(
      problems_with(token + "num_experts = 4, weight = \"renormalised\""),
      Strings{
          "branch.moe.route.weight = \"renormalised\" is 1 at top_k = 1 whatever the router says, "
          "so the language model's loss would not train it: use raw, as Switch does, or ste"});
  EXPECT_EQ(
      problems_with(token + "num_experts = 4, weight = \"tanh\""),
      Strings{"branch.moe.route.weight must be one of raw, renormalised, ste, none with choice = "
              "\"token\", found \"tanh\""});
  EXPECT_EQ(problems_with("weight = \"ste\""),
            Strings{"branch.moe.route.weight must be one of raw, sigmoid, tanh, none with choice = "
                    "\"expert\", found \"ste\""});
  EXPECT_EQ(problems_with(token + "num_experts = 4, top_k = 3, second_choice = \"random\""),
            Strings{"branch.moe.route.second_choice = \"random\" needs top_k = 2, found 3"});
  EXPECT_EQ(problems_with(token + "num_experts = 4, num_noop = 1, target_active = 1.5"),
            Strings{"branch.moe.route.target_active must be at most top_k = 1, found 1.5"});
  EXPECT_EQ(problems_with(token + "num_experts = 4, target_active = 0.5"),
            Strings{"branch.moe.route.target_active needs no-op experts, whose bias holds it: "
                    "num_noop is 0"});
  EXPECT_EQ(
      problems_with(token + "num_experts = 4096, min_capacity = 0"),
      (Strings{
          "branch.moe.route.capacity_factor = 1.25 gives each of 4096 experts 0.3125 slots in a "
          "group of 1024 tokens, which is 0 after rounding: give min_capacity, a larger factor, "
          "or fewer experts",
          "branch.moe.route.eval_capacity_factor = 2 gives each of 4096 experts 0.5 slots in a "
          "group of 1024 tokens, which is 0 after rounding: give min_capacity, a larger factor, "
          "or fewer experts"}));
  EXPECT_EQ(problems_with(token + "num_experts = 4", "dense"),
            Strings{"branch.moe.route.num_experts is 4: only an mlp can be several experts, but "
                    "'dense' is of "
                    "kind \"chain\""});
  EXPECT_EQ(problems_with("num_experts = 4", "attention"),
            Strings{"branch.moe.route.num_experts is 4: only an mlp can be several experts, but "
                    "'attention' is "
                    "of kind \"attention\""});
  EXPECT_EQ(
      problems_with("num_experts = 4, choice = \"random\""),
      Strings{"branch.moe.route.num_experts is 4, but with choice = \"random\" there is one"});
  EXPECT_EQ(
      problems_with("", "dense", "norm = \"outside\"\n"),
      Strings{
          "branch.moe.norm = \"outside\" needs an mlp, whose only norm that is, but 'dense' is of "
          "kind \"chain\""});
}

// Out of range, or no number at all.
TEST(RouteProblems, RefuseFactorsThatAreNone) {
  const std::string token = "choice = \"token\", num_experts = 4, ";
  EXPECT_EQ(problems_with(token + "capacity_factor = 0.0"),
            Strings{"line 13: branch.moe.route.capacity_factor must be above 0, found 0"});
  EXPECT_EQ(problems_with(token + "capacity_factor = -1.5"),
            Strings{"line 13: branch.moe.route.capacity_factor must be above 0, found -1.5"});
  EXPECT_EQ(
      problems_with(token + "eval_capacity_factor = nan"),
      Strings{"line 13: branch.moe.route.eval_capacity_factor must be a finite number, found nan"});
  EXPECT_EQ(problems_with(token + "num_noop = 1, target_active = -0.5"),
            Strings{"line 13: branch.moe.route.target_active must be at least 0, found -0.5"});
}

// A key of another choice would have no effect.
TEST(RouteProblems, NameTheChoiceThatAKeyGoesWith) {
  EXPECT_EQ(
      problems_with("choice = \"token\", num_experts = 4, capacity = 0.5"),
      Strings{
          "line 13: branch.moe.route.capacity: no such key; choice = \"token\" has no such key"});
  EXPECT_EQ(
      problems_with("top_k = 2"),
      Strings{"line 13: branch.moe.route.top_k: no such key; it goes with choice = \"token\""});
  EXPECT_EQ(
      problems_with("choice = \"token\", topk = 2"),
      Strings{
          "line 13: branch.moe.route.topk: no such key; did you mean 'branch.moe.route.top_k'?"});
}

TEST(RouteRemarks, NameWhatHasNoEffect) {
  const auto remarks_of = [](const std::string& route) {
    return remarks(
        parse("[model]\nlayers = [\"moe\"]\n[branch.mlp]\nkind = \"mlp\"\n[branch.moe]\nkind = "
              "\"routed\"\nof = \"mlp\"\nroute = { choice = \"token\", num_experts = 4, " +
              route + " }\n[train]\nsteps = 1000\n"));
  };
  EXPECT_EQ(remarks_of("top_k = 1"), Strings{});
  EXPECT_EQ(remarks_of("dropless = true, capacity_factor = 1.5"),
            Strings{"branch.moe.route.capacity_factor has no effect with dropless = true"});
  EXPECT_EQ(remarks_of("capacity_per_sequence = 9, min_capacity = 2"),
            Strings{"branch.moe.route.min_capacity has no effect with capacity_per_sequence"});
  EXPECT_EQ(remarks_of("noop = \"copy\""),
            Strings{"branch.moe.route.noop has no effect while num_noop is 0"});
  EXPECT_EQ(
      remarks_of("exploration = \"none\", exploration_amount = 0.5"),
      Strings{"branch.moe.route.exploration_amount has no effect with exploration = \"none\""});
  EXPECT_EQ(remarks_of("weight = \"none\", balance = { loss_weight = 0.0 }"),
            Strings{"branch.moe.route: nothing trains the router: weight = \"none\" lets no "
                    "gradient through, "
                    "and no balance loss has a weight"});
}

}  // namespace
}  // namespace pointwork::test
