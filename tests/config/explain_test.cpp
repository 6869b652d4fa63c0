#include "pointwork/config/hint.h"
#include "pointwork/files/file.h"
#include "tests/config/cases.h"
#include "tests/support/models.h"

namespace pointwork::test {
namespace {

TEST(Explain, TellsAKeyItsValueMeaningUnitRangeAndDefault) {
  const Config config = parse(mod_toml(), {{"branch.mod.route.capacity", "0.25"}});
  EXPECT_EQ(explain(config, "branch.mod.route.capacity"),
            "branch.mod.route.capacity = 0.25\n"
            "    share of a sequence's tokens that enter (each expert)\n"
            "    number, above 0 and at most 1; default 0.125\n");
  EXPECT_EQ(explain(config, "schedule.warmup_steps"),
            "schedule.warmup_steps = 100\n"
            "    linear warm-up to the peak\n"
            "    whole number, in steps, at least 0; default 100\n");
  EXPECT_EQ(explain(config, "branch.mod.of"),
            "branch.mod.of = \"dense\"\n"
            "    name of the branch that chosen tokens enter\n"
            "    text; required\n");
}

TEST(Explain, TellsASectionAndAllThatIsInIt) {
  const Config config = parse(mod_toml());
  const std::string text = explain(config, "branch.mod");
  EXPECT_EQ(text.rfind("[branch.mod]: a branch that only chosen tokens enter; the others go round "
                       "it\n\nbranch.mod.kind = \"routed\"\n",
                       0),
            0u)
      << text;
  EXPECT_NE(text.find("\n[branch.mod.route]: which tokens enter"), std::string::npos);
  EXPECT_NE(text.find("\nbranch.mod.route.capacity_schedule.steps = 0\n"), std::string::npos);
  EXPECT_EQ(text.find("branch.mlp"), std::string::npos);
  EXPECT_EQ(explain(config, "evaluate").rfind("[evaluate]: validation during training\n", 0), 0u);
}

TEST(Explain, OfNothingTellsEveryKeyOnce) {
  for (const auto& [name, config] : all_configs()) {
    const std::string text = "\n" + explain(config, "");
    for (const KeyFacts& key : all_keys(config)) {
      const std::string line = "\n" + key.path + " = " + key.value + "\n";
      const size_t at = text.find(line);
      ASSERT_NE(at, std::string::npos) << name << ": " << line;
      EXPECT_EQ(text.find(line, at + 1), std::string::npos) << name << ": " << line;
    }
  }
}

TEST(Explain, OfAnUnknownKeyNamesTheNearest) {
  const Config config = parse(mod_toml());
  const auto error_of = [&](const std::string& key) -> std::string {
    try {
      explain(config, key);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(error_of("train.stpes"), "train.stpes: no such key; did you mean 'train.steps'?");
  EXPECT_EQ(error_of("capacity"),
            "capacity: no such key; did you mean 'branch.mod.route.capacity'?");
  EXPECT_EQ(error_of("mod"), "mod: no such key; did you mean 'branch.mod'?");
  EXPECT_EQ(error_of("trian"), "trian: no such key; did you mean 'train'?");
  EXPECT_EQ(error_of("train."),
            "train.: no such key; [train] has steps, tokens, flops, batch_size, sequence_length, "
            "gradient_accumulation_steps, precision, seed, z_loss, document_mask, time_limit");
  EXPECT_EQ(error_of("branch.md.route"),
            "branch.md.route: no such key; did you mean "
            "'branch.mod.route'?");
  EXPECT_EQ(error_of("train.steps.x"), "train.steps.x: no such key; did you mean 'train.steps'?");
  EXPECT_EQ(error_of("a\nb").find('\n'), std::string::npos);
}

TEST(KeyHint, PrefersTheSectionThatIsRight) {
  const Strings keys = {"a.size", "b.sizes", "b.other"}, sections = {"a", "b"};
  EXPECT_EQ(key_hint("b.size", keys, sections), "; did you mean 'b.sizes'?");
  EXPECT_EQ(key_hint("a.other", keys, sections), "; did you mean 'b.other'?");
  EXPECT_EQ(key_hint("c.size", keys, sections), "; did you mean 'a.size'?");
  EXPECT_EQ(key_hint("a.xyz", keys, sections), "; [a] has size");
  EXPECT_EQ(key_hint("b.deep.xyz", keys, sections), "; [b] has sizes, other");
  EXPECT_EQ(key_hint("zzz", keys, sections), "; a config has a, b");
}

// Every key of every kind of branch.
Config everything() {
  Config config;
  const auto add = [&](const auto& form) {
    BranchConfig branch{form};
    config.branch[branch.kind()] = branch;
  };
  add(AttentionConfig{});
  add(MlpConfig{});
  add(ChainConfig{});
  add(ParallelConfig{});
  add(RepeatConfig{});
  add(RoutedConfig{});
  EXPECT_EQ(config.branch.size(), std::size(BranchConfig::kinds));
  return config;
}

TEST(Reference, HoldsEveryKeyWithItsMeaningAndDefault) {
  const std::string text = config_reference();
  for (const KeyFacts& key : all_keys(everything())) {
    if (key.path.ends_with(".kind")) {
      if (key.path != "schedule.kind") continue;
    }
    std::string name = key.path.substr(key.path.find('.') + 1);
    if (key.path.rfind("branch.", 0) == 0) name = name.substr(name.find('.') + 1);
    const std::string ends =
        " | " + (key.required ? "required" : "`" + key.value + "`") + " | " + key.help + " |\n";
    const size_t row = text.find(ends);
    EXPECT_NE(row, std::string::npos) << key.path << ends;
    EXPECT_NE(text.find("\n| `" + name + "` | "), std::string::npos) << key.path;
  }
  for (const char* kind : BranchConfig::kinds)
    EXPECT_NE(text.find(concat("\n### `kind = \"", kind, "\"`\n")), std::string::npos) << kind;
}

TEST(Reference, BeginsWithAConfigThatLoads) {
  const std::string text = config_reference();
  const size_t begin = text.find("```toml\n") + 8;
  const Config config = parse(text.substr(begin, text.find("```\n", begin) - begin));
  EXPECT_EQ(layer_names(config.model).size(), 8u);
  EXPECT_EQ(remarks(config), Strings{});
}

TEST(Reference, IsTheCommittedPage) {
  const std::string page = read_file(std::string(POINTWORK_SOURCE_DIR) + "/docs/config.md");
  EXPECT_TRUE(page == config_reference())
      << "docs/config.md is not what the program says; write it anew with\n"
         "  build/release/pointwork config reference > docs/config.md";
}

}  // namespace
}  // namespace pointwork::test
