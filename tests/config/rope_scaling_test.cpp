// Keys of stretched rotary positions: which there are depends on their kind.

#include "tests/config/cases.h"

namespace pointwork::test {
namespace {

std::string with(const std::string& keys) {
  std::string toml = mod_toml();
  const std::string leaf = "kind = \"attention\"\n";
  return toml.replace(toml.find(leaf), leaf.size(), leaf + "rope_theta = 500.0\n" + keys);
}

TEST(RopeScalingKeys, AreReadAndWrittenByKind) {
  const Config plain = parse(with(""));
  EXPECT_EQ(to_toml(plain).find("rope_scaling.factor"), std::string::npos);
  for (const char* keys : {"rope_scaling = { kind = \"linear\", factor = 3 }\n",
                           "rope_scaling = { kind = \"llama3\", factor = 8, low_freq_factor = 2, "
                           "high_freq_factor = 5, "
                           "original_max_position_embeddings = 77 }\n"}) {
    const Config config = parse(with(keys));
    EXPECT_EQ(parse(to_toml(config)), config);
    EXPECT_FALSE(to_json(config).empty());
    for (const KeyFacts& key : all_keys(config)) {
      const bool kind = key.path.ends_with("rope_scaling.kind"),
                 factor = key.path.ends_with("rope_scaling.factor");
      if (kind || factor) {
        EXPECT_EQ(key.default_value, kind ? "\"none\"" : "8.0");
      }
    }
  }
  const auto& read = std::get<AttentionConfig>(
      parse(with(""), {{"branch.attention.rope_scaling", "{ kind = \"llama3\", factor = 2 }"}})
          .branch.at("attention")
          .form);
  EXPECT_EQ(read.rope_scaling.original_max_position_embeddings, 8192);
}

TEST(RopeScalingKeys, OfAnotherKindAreUnknown) {
  EXPECT_EQ(problems_of(with("rope_scaling = { factor = 3 }\n")).size(), 1u);
  EXPECT_EQ(problems_of(with("rope_scaling = { kind = \"linear\", low_freq_factor = 3 }\n")).size(),
            1u);
  EXPECT_EQ(problems_of(with("rope_scaling = { kind = \"llama3\", low_freq_factor = 4.0 }\n")),
            Strings{"branch.attention.rope_scaling.high_freq_factor is 4, expected more than "
                    "low_freq_factor = 4"});
}

TEST(RopeScalingKeys, HaveNoEffectWithoutRotation) {
  Config config = parse(mod_toml());
  std::get<AttentionConfig>(config.branch["attention"].form).rope_scaling.kind =
      RopeScalingKind::linear;
  EXPECT_EQ(remarks(config),
            Strings{"branch.attention.rope_scaling has no effect without rope_theta"});
}

}  // namespace
}  // namespace pointwork::test
