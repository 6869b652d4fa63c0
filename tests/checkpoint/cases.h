#pragma once
// Checkpoints with everything in them.

#include "pointwork/checkpoint/checkpoint.h"
#include "pointwork/files/file.h"
#include "pointwork/files/manifest.h"
#include "pointwork/files/steps.h"
#include "tests/data/byte_tokenizer.h"
#include "tests/support/data.h"
#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {

namespace fs = std::filesystem;

inline SaveContent full_content(int64_t step) {
  TrainerFiles trainer{{{"first.embedding", normal({3, 4}, 7, torch::kFloat32)},
                        {"accepted", torch::tensor(static_cast<float>(step))}},
                       {{"step", step}, {"loader", {{"epoch", 1}, {"next", 7}}}}};
  return {.step = step,
          .tokenizer = byte_tokenizer(),
          .tokenizer_hash = std::string(32, 'a'),
          .dataset_hash = std::string(32, 'd'),
          .end_of_text = 256,
          .trainer = std::move(trainer)};
}

inline void expect_same_bits(const TensorMap& got, const TensorMap& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    ASSERT_TRUE(got.count(name)) << name;
    EXPECT_TRUE(same_bits(got.at(name), tensor)) << name;
  }
}

inline void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' not in: " << text;
}

}  // namespace pointwork::test
