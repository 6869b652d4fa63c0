// Rotary frequencies of stretched models, each computed again from its wavelength.

#include "pointwork/nn/rope_scaling.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pointwork::test {
namespace {

AttentionConfig attention_with(const RopeScalingConfig& scaling) {
  return {.rope_theta = 500000, .rope_scaling = scaling};
}

TEST(RopeScaling, LinearDividesAll) {
  const auto plain = rope_frequencies(attention_with({}), 64);
  const auto scaled =
      rope_frequencies(attention_with({.kind = RopeScalingKind::linear, .factor = 4}), 64);
  ASSERT_EQ(plain.size(), 32u);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_DOUBLE_EQ(plain[i], std::pow(500000, -2.0 * static_cast<double>(i) / 64));
    EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4);
  }
}

TEST(RopeScaling, Llama3DividesLowFrequenciesAlone) {
  const RopeScalingConfig s{.kind = RopeScalingKind::llama3,
                            .factor = 8,
                            .low_freq_factor = 1,
                            .high_freq_factor = 4,
                            .original_max_position_embeddings = 8192};
  const auto plain = rope_frequencies(attention_with({}), 128);
  const auto scaled = rope_frequencies(attention_with(s), 128);
  int kept = 0, divided = 0, between = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wave = 2 * M_PI / plain[i];
    if (wave < 8192.0 / 4) {
      EXPECT_EQ(scaled[i], plain[i]);
      ++kept;
    } else if (wave > 8192.0) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 8);
      ++divided;
    } else {
      const double smooth = (8192.0 / wave - 1) / (4 - 1);
      EXPECT_DOUBLE_EQ(scaled[i], (1 - smooth) * plain[i] / 8 + smooth * plain[i]);
      ++between;
    }
  }
  EXPECT_TRUE(kept > 0 && divided > 0 && between > 0);
}

TEST(RopeScaling, OfAPartOfAHeadOrNone) {
  AttentionConfig attention = attention_with({});
  attention.partial_rotary_factor = 0.25;
  EXPECT_EQ(rope_frequencies(attention, 16).size(), 2u);
  attention.rope_theta = 0;
  EXPECT_TRUE(rope_frequencies(attention, 16).empty());
}

}  // namespace
}  // namespace pointwork::test
