// projection_route, routers with a state, and rounds that they count.

#include "tests/config/cases.h"

namespace pointwork::test {
namespace {

// repeat(4, chain(attention by `projection_route`, routed(mlp) by `route`)); `mha` are further
// keys.
std::string modules(const std::string& projection_route, const std::string& route = "",
                    const std::string& mha = "") {
  return "[model]\nlayers = [\"rounds\"]\n[branch.mha]\nkind = \"attention\"\n" + mha +
         "projection_route = { " + projection_route + " }\n[branch.mlp]\nkind = \"mlp\"\n" +
         "[branch.ffn]\nkind = \"routed\"\nof = \"mlp\"\nroute = { choice = \"token\"" +
         (route.empty() ? "" : ", " + route) + " }\n[branch.round]\nkind = \"chain\"\nof = " +
         "[\"mha\", \"ffn\"]\n[branch.rounds]\nkind = \"repeat\"\nof = \"round\"\ntimes = 4\n";
}

const AttentionConfig& attention_of(const Config& config) {
  return std::get<AttentionConfig>(config.branch.at("mha").form);
}

TEST(ModulesConfig, AProjectionRouteIsThereWhereItsSectionIs) {
  const Config with = parse(modules("num_experts = 3, num_noop = 1, router = \"gru\""));
  ASSERT_TRUE(attention_of(with).projection_route.has_value());
  const ProjectionRouteConfig& route = *attention_of(with).projection_route;
  EXPECT_EQ(route.num_experts, 3);
  EXPECT_EQ(route.router, RouterKind::gru);
  EXPECT_EQ(route.router_size, 256);
  EXPECT_TRUE(route.by_token());
  EXPECT_TRUE(route.dropless);
  // Written and read back it is the same; without the section there is none.
  EXPECT_EQ(parse(to_toml(with)), with);
  const std::string plain = "[model]\nlayers = [\"mha\"]\n[branch.mha]\nkind = \"attention\"\n";
  EXPECT_FALSE(attention_of(parse(plain)).projection_route.has_value());
  EXPECT_EQ(to_toml(parse(plain)).find("projection_route"), std::string::npos);
  // An override of one of its keys makes it.
  const Config made = parse(plain, {{"branch.mha.projection_route.num_experts", "2"}});
  ASSERT_TRUE(attention_of(made).projection_route.has_value());
  EXPECT_EQ(attention_of(made).projection_route->num_experts, 2);
  EXPECT_EQ(changed_keys(parse(plain), made).empty(), false);
  EXPECT_FALSE(attention_of(dense_twin(with)).projection_route.has_value());
}

TEST(ModulesConfig, AMisspeltKeyIsAnError) {
  EXPECT_EQ(problems_of(modules("num_experts = 3, num_nop = 1")),
            Strings{"line 5: branch.mha.projection_route.num_nop: no such key; did you mean "
                    "'branch.mha.projection_route.num_noop'?"});
}

TEST(ModulesConfig, SaysWhatAttentionCannotRoute) {
  EXPECT_EQ(problems_of(modules("num_experts = 2, choice = \"expert\"")),
            Strings{"branch.mha.projection_route.choice must be \"token\", as each token needs its "
                    "own key and value, found \"expert\""});
  EXPECT_EQ(problems_of(modules("num_experts = 2, num_noop = 1, noop = \"copy\"")),
            Strings{"branch.mha.projection_route.noop must be \"zero\" for attention, found "
                    "\"copy\""});
  EXPECT_EQ(problems_of(modules("num_experts = 2", "", "qk_norm = \"head\"\n")),
            Strings{"branch.mha.qk_norm must be \"none\" with projection_route, as it would be of "
                    "one expert, found \"head\""});
  EXPECT_EQ(
      problems_of(modules("num_experts = 2, weight = \"renormalised\"")),
      Strings{"branch.mha.projection_route.weight = \"renormalised\" is 1 at top_k = 1 "
              "whatever the router says, so the language model's loss would not train it: use "
              "raw, as Switch does, or ste"});
}

TEST(ModulesConfig, SaysWhatRoundsDoNotSuit) {
  EXPECT_EQ(problems_of(modules("num_experts = 5, num_noop = 1, in_order_steps = 9")),
            Strings{"branch.mha.projection_route.in_order_steps needs a round for each of 5 "
                    "experts, found 4"});
  EXPECT_EQ(problems_of(modules("num_experts = 3, in_order_steps = 9")),
            Strings{"branch.mha.projection_route.in_order_steps: rounds from 3 on begin with a "
                    "no-op, but num_noop is 0"});
  EXPECT_EQ(problems_of(modules("num_experts = 3, absorbing = true")),
            Strings{"branch.mha.projection_route.absorbing needs top_k = 1 and a no-op expert, "
                    "found top_k = 1 and num_noop = 0"});
  EXPECT_EQ(problems_of(modules("num_experts = 3, top_k_start = 4")),
            Strings{"branch.mha.projection_route.top_k_start is 4, more than there are choices: "
                    "num_experts 3 + num_noop 0"});
  EXPECT_EQ(problems_of(modules("num_experts = 3, top_k_start = 3, weight = \"ste\"")),
            Strings{"branch.mha.projection_route.top_k_start needs weights that sum to as much for "
                    "any number of choices, but with weight = \"ste\" each is 1"});
  EXPECT_EQ(problems_of(modules("num_experts = 3, router_projection = 8")),
            Strings{"branch.mha.projection_route.router_projection is of router = \"gru\", found "
                    "\"linear\""});
  std::string none = modules("num_experts = 3");
  none.replace(none.find("times = 4"), 9, "times = 0");
  EXPECT_EQ(problems_of(none),
            Strings{"line 18: branch.rounds.times must be at least 1 and at most 4096, found 0"});
}

// Rows that enter a subset differ from round to round: nothing could be handed on.
TEST(ModulesConfig, RefusesASubsetBetweenARepeatAndAState) {
  const auto nested = [](const std::string& route) {
    return "[model]\nlayers = [\"rounds\"]\n[branch.mha]\nkind = \"attention\"\n"
           "projection_route = { num_experts = 2, num_noop = 1, " +
           route + " }\n[branch.mod]\n" +
           "kind = \"routed\"\nof = \"mha\"\nroute = { capacity = 0.5 }\n[branch.rounds]\nkind = " +
           "\"repeat\"\nof = \"mod\"\ntimes = 4\n";
  };
  EXPECT_EQ(
      problems_of(nested("router = \"gru\"")),
      Strings{"branch.mha.projection_route.router = \"gru\" keeps a state for each token from "
              "round to round, but a routed branch stands between it and its repeat, so that "
              "rounds have other tokens"});
  EXPECT_EQ(problems_of(nested("absorbing = true")).size(), 1u);
  EXPECT_NO_THROW(parse(nested("router = \"mlp\"")));
  // A repeat inside the subset has one set of rows for all its rounds.
  const std::string inside =
      "[model]\nlayers = [\"mod\"]\n[branch.mha]\nkind = \"attention\"\nprojection_route = { "
      "num_experts = 2, router = \"gru\" }\n[branch.rounds]\nkind = \"repeat\"\nof = "
      "\"mha\"\ntimes = 4\n[branch.mod]\nkind = \"routed\"\nof = \"rounds\"\nroute = { capacity = "
      "0.5 }\n";
  EXPECT_NO_THROW(parse(inside));
}

TEST(ModulesConfig, SoftStartsFallByEqualSteps) {
  TokenChoiceConfig config{
      .num_experts = 3, .num_noop = 1, .top_k = 1, .top_k_start = 4, .top_k_steps = 6};
  const std::vector<int64_t> want = {4, 4, 3, 3, 2, 2, 1, 1};
  for (size_t step = 0; step < want.size(); ++step)
    EXPECT_EQ(config.top_k_at(static_cast<int64_t>(step)), want[step]) << step;
  config.top_k_start = 0;
  EXPECT_EQ(config.top_k_at(0), 1);
}

// Of k choices among E experts and O no-ops, all alike, that some is an expert.
TEST(ModulesConfig, TakingAnExpertIsLikelierWithMoreChoices) {
  const TokenChoiceConfig config{.num_experts = 3, .num_noop = 2};
  EXPECT_DOUBLE_EQ(config.taking_share(1), 0.6);
  EXPECT_DOUBLE_EQ(config.taking_share(2), 0.9);
  EXPECT_DOUBLE_EQ(config.taking_share(3), 1);
}

}  // namespace
}  // namespace pointwork::test
