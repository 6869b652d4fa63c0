#include "tests/config/cases.h"

namespace pointwork::test {
namespace {

// A valid config, changed.
template <class Change>
Strings problems_after(Change change) {
  Config config = parse(mod_toml());
  EXPECT_EQ(problems(config), Strings{});
  change(config);
  return problems(config);
}

template <class Form>
Form& form(Config& config, const std::string& name) {
  return std::get<Form>(config.branch.at(name).form);
}

TEST(Problems, OfNamesThatNoBranchHas) {
  EXPECT_EQ(problems_after([](Config& c) {
              c.model.layers.repeat = {"dense", "mdo"};
            }),
            Strings{"model.layers names the branch 'mdo', but there is no [branch.mdo]; did you "
                    "mean 'mod'?"});
  EXPECT_EQ(problems_after([](Config& c) {
              c.model.layers.first = {"densee"};
              c.model.layers.last = {"nothing"};
            }),
            (Strings{"model.layers.first names the branch 'densee', but there is no "
                     "[branch.densee]; did you mean 'dense'?",
                     "model.layers.last names the branch 'nothing', but there is no "
                     "[branch.nothing]"}));
  EXPECT_EQ(problems_after([](Config& c) {
              form<ChainConfig>(c, "dense").of = {"atention", "mpl"};
              form<RoutedConfig>(c, "mod").of = "desne";
            }),
            (Strings{"branch.dense.of names the branch 'atention', but there is no "
                     "[branch.atention]; did you mean 'attention'?",
                     "branch.dense.of names the branch 'mpl', but there is no [branch.mpl]; did "
                     "you mean 'mlp'?",
                     "branch.mod.of names the branch 'desne', but there is no [branch.desne]; did "
                     "you mean 'dense'?"}));
}

TEST(Problems, OfAnOfThatNamesNothing) {
  EXPECT_EQ(problems_after([](Config& c) {
              c.branch["p"].form = ParallelConfig{};
              c.branch["r"].form = RepeatConfig{};
              form<ChainConfig>(c, "dense").of.clear();
            }),
            (Strings{"branch.dense.of must name at least one branch but is empty",
                     "branch.p.of must name at least one branch but is empty",
                     "branch.r.of must name at least one branch but is empty"}));
}

TEST(Problems, OfLayersThatDoNotFillTheModel) {
  EXPECT_EQ(problems_after([](Config& c) { c.model.layers = {}; }),
            Strings{"model.layers must name the branches of 4 layers, as [\"dense\"], but names "
                    "none"});
  EXPECT_EQ(problems_after([](Config& c) {
              c.model.layers = {{"mod"}, {}, {"dense"}};
            }),
            Strings{"model.layers must name the branches of 4 layers, as [\"dense\"], but names 2 "
                    "and nothing to repeat"});
  EXPECT_EQ(
      problems_after([](Config& c) {
        c.model.layers = {{"mod", "mod", "mod"}, {"mod"}, {"dense", "dense"}};
      }),
      Strings{"model.layers: first and last name 5 layers, but model.num_hidden_layers is 4"});
  EXPECT_EQ(problems_after([](Config& c) {
              c.model.layers = {{"mod", "mod", "mod"}, {}, {"dense"}};
            }),
            Strings{});
}

TEST(Problems, OfABranchsName) {
  const auto called = [](const std::string& name) {
    return problems_after([&](Config& c) { c.branch[name].form = MlpConfig{}; });
  };
  for (const char* name : {"", "a b", "a.b", "größe", "a/b", "a\n"}) {
    const Strings found = called(name);
    ASSERT_EQ(found.size(), 1u) << name;
    EXPECT_NE(found[0].find(": a branch's name must be of letters, digits, '_' and '-'"),
              std::string::npos);
    EXPECT_EQ(found[0].find('\n'), std::string::npos);
  }
  EXPECT_EQ(called("A-z_09"), Strings{});
  EXPECT_EQ(called(std::string(64, 'a')), Strings{});
  EXPECT_EQ(called(std::string(65, 'a')),
            Strings{"branch." + std::string(65, 'a') +
                    ": a branch's name must have at most 64 letters, found 65"});
}

TEST(Problems, OfHeads) {
  const auto with = [](AttentionConfig attention) {
    return problems_after([&](Config& c) { form<AttentionConfig>(c, "attention") = attention; });
  };
  EXPECT_EQ(with({.num_attention_heads = 3}),
            Strings{"branch.attention.num_attention_heads is 3, which does not divide "
                    "model.hidden_size = 256; give head_dim, or another number of heads"});
  EXPECT_EQ(with({.num_attention_heads = 3, .head_dim = 10}), Strings{});
  EXPECT_EQ(with({.num_attention_heads = 8, .num_key_value_heads = 3}),
            Strings{"branch.attention.num_key_value_heads is 3, which does not divide "
                    "num_attention_heads = 8"});
  EXPECT_EQ(with({.num_attention_heads = 4, .num_key_value_heads = 8}),
            Strings{"branch.attention.num_key_value_heads is 8, which does not divide "
                    "num_attention_heads = 4"});
  EXPECT_EQ(with({.num_attention_heads = 3, .num_key_value_heads = 2}).size(), 2u);
  EXPECT_EQ(with({.num_attention_heads = 8, .num_key_value_heads = 1}), Strings{});
}

// Attention rounds the width to the nearest; so must the check.
TEST(Problems, OfRotatedWidths) {
  const auto with = [](int64_t width, double share, double theta = 1e4) {
    return problems_after([&](Config& c) {
      form<AttentionConfig>(c, "attention") = {
          .head_dim = width, .rope_theta = theta, .partial_rotary_factor = share};
    });
  };
  EXPECT_EQ(with(9, 1), Strings{"branch.attention: a head's rotated width must be even but is 9 "
                                "(head_dim 9 x partial_rotary_factor 1)"});
  EXPECT_EQ(with(10, 0.85),  // 8.5, rounded up
            Strings{"branch.attention: a head's rotated width must be even but is 9 (head_dim 10 "
                    "x partial_rotary_factor 0.85)"});
  EXPECT_EQ(with(10, 0.95), Strings{});   // 9.5
  EXPECT_EQ(with(200, 0.29), Strings{});  // 57.99999999999999
  EXPECT_EQ(with(10, 0.04),
            Strings{"branch.attention.partial_rotary_factor leaves no width to rotate in a head "
                    "of 10"});
  EXPECT_EQ(with(9, 1, 0), Strings{});
}

TEST(Problems, OfBranchesThatContainThemselves) {
  EXPECT_EQ(problems_after([](Config& c) {
              form<ChainConfig>(c, "dense").of = {"mlp", "mod"};
            }),
            Strings{"branch.dense contains itself: dense -> mod -> dense"});
  EXPECT_EQ(problems_after([](Config& c) { form<RoutedConfig>(c, "mod").of = "mod"; }),
            Strings{"branch.mod contains itself: mod -> mod"});
  // Where no layer uses them too, and each once.
  EXPECT_EQ(problems_after([](Config& c) {
              c.branch["a"].form = RoutedConfig{.of = "b"};
              c.branch["b"].form = RepeatConfig{.of = "a"};
              c.branch["x"].form = ChainConfig{{"mlp", "x", "a"}};
            }),
            (Strings{"branch.a contains itself: a -> b -> a", "branch.x contains itself: x -> x"}));
}

Config nested(int deep, bool forward) {
  Config config = parse(mod_toml());
  const auto name = [&](int i) { return std::to_string(10'000 + (forward ? i : deep - i)); };
  for (int i = 0; i < deep; ++i) config.branch[name(i)].form = RepeatConfig{.of = name(i + 1)};
  config.branch[name(deep)].form = MlpConfig{};
  config.model.layers.repeat = {name(0)};
  return config;
}

TEST(Problems, OfBranchesNestedTooDeep) {
  for (const bool forward : {true, false}) {
    Config config = nested(31, forward);
    for (auto& [name, branch] : config.branch) {
      if (auto* repeat = std::get_if<RepeatConfig>(&branch.form)) repeat->times = 1;
    }
    EXPECT_EQ(problems(config), Strings{}) << forward;
    for (const int deep : {32, 33, 50, 30'000}) {
      const Strings found = problems(nested(deep, forward));
      ASSERT_EQ(found.size(), 1u) << deep << forward;
      EXPECT_NE(found[0].find(" has branches in it that stand in one another more than 31 deep"),
                std::string::npos)
          << found[0];
    }
  }
}

TEST(Problems, OfAGrammarThatUnfoldsTooFar) {
  const Strings too_far = {
      "model.layers: the grammar unfolds to more than 100000 applications of attention and mlp"};
  const auto repeated = [](int64_t times) {
    return problems_after([&](Config& c) {
      c.branch["r"].form = RepeatConfig{.of = "dense", .times = times};
      c.branch["rr"].form = RepeatConfig{.of = "r", .times = 10};
      c.model.layers = {{}, {"rr"}, {}};
    });
  };
  EXPECT_EQ(repeated(1250), Strings{});  // 4 layers x 10 x 1250 x 2
  EXPECT_EQ(repeated(1251), too_far);
  EXPECT_EQ(repeated(int64_t{1} << 61), too_far);
  // 2^30 leaves, counted without visiting them.
  EXPECT_EQ(problems_after([](Config& c) {
              c.branch["d0"].form = MlpConfig{};
              for (int i = 1; i <= 30; ++i) {
                const std::string below = concat("d", i - 1);
                c.branch[concat("d", i)].form = ParallelConfig{{below, below}};
              }
              c.model.layers.repeat = {"d30"};
            }),
            too_far);
}

// A parameter is called by the names of all branches above it.
TEST(Problems, OfNamesThatAreTooLongTogether) {
  const auto with = [](int deep) {
    return problems_after([&](Config& c) {
      const auto name = [](int i) { return std::string(63, 'a') + static_cast<char>('a' + i); };
      for (int i = 0; i < deep; ++i) c.branch[name(i)].form = ChainConfig{{name(i + 1)}};
      c.branch[name(deep)].form = MlpConfig{};
      c.model.layers.repeat = {name(0)};
    });
  };
  EXPECT_EQ(with(5), Strings{});  // 6 x 72
  const Strings found = with(6);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("would have up to 504 letters; at most 460"), std::string::npos)
      << found[0];
}

TEST(Problems, OfSequencesLongerThanTheLearnedPositions) {
  EXPECT_EQ(problems_after([](Config& c) { c.train.sequence_length = 257; }),
            Strings{"train.sequence_length is 257, more than the 256 learned positions of "
                    "model.max_position_embeddings"});
  EXPECT_EQ(problems_after([](Config& c) {
              c.train.sequence_length = 257;
              c.model.position_embedding = PositionEmbedding::none;
            }),
            Strings{});
}

TEST(Problems, OfMoreTokensAStepThanInt32Counts) {
  const auto with = [](int64_t batch, int64_t length, int64_t steps) {
    return problems_after([&](Config& c) {
      c.model.position_embedding = PositionEmbedding::none;
      c.train.batch_size = batch;
      c.train.sequence_length = length;
      c.train.gradient_accumulation_steps = steps;
    });
  };
  EXPECT_EQ(with(1 << 20, 1 << 10, 1), Strings{});
  EXPECT_EQ(with(1 << 20, 1 << 10, 2),
            Strings{"train: a step must have at most 2147483647 tokens, but batch_size 1048576 x "
                    "sequence_length 1024 x gradient_accumulation_steps 2 are more"});
  EXPECT_EQ(with(INT64_MAX, INT64_MAX, INT64_MAX).size(), 1u);
  EXPECT_EQ(with(INT64_MAX, 1, 4).size(), 1u);
}

TEST(Problems, OfTwoBudgets) {
  EXPECT_EQ(problems_after([](Config& c) {
              c.train.steps = 1;
              c.train.flops = 1e13;
            }),
            Strings{"train: give one budget of steps, tokens and flops; found steps = 1 flops = "
                    "1e+13"});
  EXPECT_EQ(problems_after([](Config& c) { c.train.tokens = 1; }), Strings{});
}

TEST(Problems, OfWarmUpAndDecayThatAreMoreThanTheRun) {
  const auto with = [](ScheduleKind kind, double warmup, double decay) {
    return problems_after([&](Config& c) {
      c.schedule = {.kind = kind, .warmup_share = warmup, .decay_share = decay};
    });
  };
  EXPECT_EQ(with(ScheduleKind::wsd, 0.5, 0.75),
            Strings{"schedule: warmup_share 0.5 and decay_share 0.75 are more than the whole run "
                    "together"});
  EXPECT_EQ(with(ScheduleKind::wsd, 0.5, 0.5), Strings{});
  EXPECT_EQ(with(ScheduleKind::cosine, 0.5, 0.75), Strings{});
}

TEST(Problems, OfATeacherFromWhomNothingIsLearnt) {
  const auto with = [](const char* teacher, double hard, double soft) {
    return problems_after([&](Config& c) {
      c.distill = {.teacher = teacher, .hard_weight = hard, .soft_weight = soft};
    });
  };
  EXPECT_EQ(with("runs/big", 0, 0),
            Strings{"distill: hard_weight and soft_weight are both 0, so there is nothing to "
                    "learn"});
  EXPECT_EQ(with("runs/big", 0, 1), Strings{});
  EXPECT_EQ(with("runs/big", 1, 0), Strings{});
  EXPECT_EQ(with("", 0, 0), Strings{});
}

TEST(Problems, AreAllTold) {
  EXPECT_EQ(problems_after([](Config& c) {
              c.model.layers.first = {"x"};
              c.branch["y"].form = RepeatConfig{.of = "y"};
              form<AttentionConfig>(c, "attention").num_attention_heads = 7;
              c.train.sequence_length = 1000;
              c.train.steps = c.train.tokens = 1;
            }).size(),
            5u);
}

// Every branch names one that is missing: 10^4 problems, each of 10^4 names to compare with.
TEST(Problems, OfManyNamesCostLittle) {
  Config config = parse(mod_toml());
  for (int i = 0; i < 10'000; ++i)
    config.branch[concat("branch", i)].form = RepeatConfig{.of = concat("brunch", i)};
  EXPECT_EQ(problems(config).size(), 10'000u);
}

template <class Change>
Strings remarks_after(Change change) {
  Config config = parse(mod_toml());
  EXPECT_EQ(remarks(config), Strings{});
  change(config);
  EXPECT_EQ(problems(config), Strings{});
  return remarks(config);
}

TEST(Remarks, NameBranchesThatNoLayerUses) {
  EXPECT_EQ(remarks_after([](Config& c) {
              c.model.layers.repeat = {"dense"};
              c.branch["other"].form = ChainConfig{{"mod"}};
            }),
            (Strings{"branch.mod is used by no layer", "branch.other is used by no layer"}));
  EXPECT_EQ(remarks_after([](Config& c) { c.model.layers.repeat = {"mod"}; }), Strings{});
}

TEST(Remarks, NameKeysOfARouteThatHaveNoEffect) {
  const auto with = [](const RouteConfig& route, int64_t steps = 0) {
    return remarks_after([&](Config& c) {
      form<RoutedConfig>(c, "mod").route = route;
      c.train.steps = steps;
      c.schedule.warmup_steps = 0;
    });
  };
  const std::string path = "branch.mod.route.";
  EXPECT_EQ(with({.tanh_alpha = 1}),
            Strings{path + "tanh_alpha has no effect without weight = \"tanh\""});
  EXPECT_EQ(with({.weight = RouterWeight::tanh, .tanh_alpha = 1}), Strings{});
  EXPECT_EQ(with({.choice = ChoiceKind::threshold, .decode = CausalDecision::router}),
            Strings{path + "decode has no effect without choice = \"expert\""});
  EXPECT_EQ(with({.decode_loss_weight = 1}),
            Strings{path + "decode_loss_weight has no effect without choice = \"expert\" and "
                           "decode = \"router\""});
  EXPECT_EQ(with({.decode = CausalDecision::router, .decode_loss_weight = 1}), Strings{});
  EXPECT_EQ(with({.threshold_rate = 1}),
            Strings{path + "threshold_rate has no effect without choice = \"threshold\""});
  EXPECT_EQ(with({.choice = ChoiceKind::threshold, .threshold_rate = 1}), Strings{});
  EXPECT_EQ(with({.choice = ChoiceKind::random, .initializer_range = 1}),
            Strings{path + "initializer_range has no effect with choice = \"random\", which has "
                           "no router weights"});
  EXPECT_EQ(with({.capacity_schedule = {.values = 4}}),
            Strings{path + "capacity_schedule has no effect while its steps is 0"});
  EXPECT_EQ(with({.capacity_schedule = {.steps = 4, .values = 4}}, 4), Strings{});
  EXPECT_EQ(with({.capacity_schedule = {.steps = 5}}, 4),
            Strings{path + "capacity_schedule ends at step 5, after train.steps = 4, so capacity "
                           "itself is never reached"});
}

TEST(Remarks, NameOtherKeysThatHaveNoEffect) {
  EXPECT_EQ(remarks_after([](Config& c) {
              form<AttentionConfig>(c, "attention").partial_rotary_factor = 0.5;
              c.model.position_embedding = PositionEmbedding::none;
            }),
            (Strings{"branch.attention.partial_rotary_factor has no effect without rope_theta",
                     "branch.attention sees no positions: rope_theta is 0, and "
                     "model.position_embedding is none"}));
  EXPECT_EQ(remarks_after([](Config& c) {
              c.schedule = {.kind = ScheduleKind::constant,
                            .warmup_steps = 7,
                            .warmup_share = 0.1,
                            .final_share = 0,
                            .decay_share = 0.3};
            }),
            (Strings{"schedule.warmup_steps has no effect beside warmup_share",
                     "schedule.decay_share has no effect without kind = \"wsd\"",
                     "schedule.final_share has no effect with kind = \"constant\""}));
  EXPECT_EQ(remarks_after([](Config& c) { c.train.steps = 100; }),
            Strings{"schedule.warmup_steps = 100 is all of train.steps = 100, so the learning "
                    "rate never falls"});
  EXPECT_EQ(remarks_after([](Config& c) { c.checkpoint.keep_every = 1500; }),
            Strings{"checkpoint.keep_every = 1500 is no multiple of checkpoint.every = 1000: only "
                    "steps that are multiples of both are kept for good"});
  EXPECT_EQ(remarks_after([](Config& c) { c.checkpoint.keep_every = 3000; }), Strings{});
  EXPECT_EQ(remarks_after([](Config& c) { c.distill.temperature = 2; }),
            Strings{"distill.temperature has no effect without distill.teacher"});
  EXPECT_EQ(remarks_after([](Config& c) {
              c.distill = {.teacher = "runs/big", .soft_weight = 0.5, .temperature = 2};
            }),
            Strings{});
}

}  // namespace
}  // namespace pointwork::test
