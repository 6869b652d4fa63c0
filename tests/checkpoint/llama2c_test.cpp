// Checkpoints of llama2.c: a small one built here, number by number.

#include "pointwork/checkpoint/llama2c.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/cases.h"
#include "tests/checkpoint/hugging_face_folders.h"

namespace pointwork::test {
namespace {

constexpr int32_t kWidth = 8, kMlp = 6, kLayers = 2, kHeads = 2, kPairs = 1, kVocabulary = 5,
                  kPositions = 7;

class Llama2c : public ::testing::Test {
 protected:
  // Every float its own number in the file.
  fs::path put(int32_t vocabulary, int64_t extra = 0, int32_t width = kWidth) {
    std::vector<int32_t> head = {width, kMlp, kLayers, kHeads, kPairs, vocabulary, kPositions};
    const int64_t d = kWidth, half = 4, layer = 2 * d + 2 * d * d + 2 * half * d + 3 * d * kMlp;
    const int64_t values = kVocabulary * d * (vocabulary < 0 ? 2 : 1) + kLayers * layer + d +
                           kPositions * half + extra;
    std::string text(reinterpret_cast<const char*>(head.data()), 28);
    for (int64_t i = 0; i < values; ++i) {
      const auto value = static_cast<float>(i);
      text.append(reinterpret_cast<const char*>(&value), 4);
    }
    put_text(folder_ / "model.bin", text);
    return folder_ / "model.bin";
  }
  static Tensor counted(int64_t first, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    return torch::arange(first, first + count, torch::kFloat32).view(shape);
  }

  TemporaryFolder folder_;
};

TEST_F(Llama2c, EveryNumberHasItsPlace) {
  for (const bool tied : {true, false}) {
    fs::remove_all(folder_ / "out");
    const fs::path from = put(tied ? kVocabulary : -kVocabulary);
    convert_llama2c(from, "", folder_ / "out", {});
    const Checkpoint made = open_checkpoint(folder_ / "out");
    EXPECT_EQ(made.config.model.tie_word_embeddings, tied);
    EXPECT_EQ(made.config.model.max_position_embeddings, kPositions);
    const TensorMap w = weights_of(*load_model(made, torch::kCPU));
    int64_t at = 0;
    const auto next = [&](std::vector<int64_t> shape) {
      const Tensor t = counted(at, std::move(shape));
      at += t.numel();
      return t;
    };
    EXPECT_TRUE(w.at("embedding").equal(next({5, 8})));
    const Tensor norms = next({2, 8}), query = next({2, 8, 8}), key = next({2, 4, 8}),
                 value = next({2, 4, 8}), output = next({2, 8, 8}), mlp_norms = next({2, 8}),
                 gate = next({2, 6, 8}), down = next({2, 8, 6}), up = next({2, 6, 8});
    EXPECT_TRUE(w.at("norm.weight").equal(next({8})));
    // Neighbours 0 1 2 3 of a head are rotated as (0, 1) and (2, 3); in halves they stand 0 2 1 3.
    const Tensor halves = torch::tensor({0, 2, 1, 3, 4, 6, 5, 7});
    for (int64_t l = 0; l < 2; ++l) {
      const std::string layer = concat("layers.", l, ".");
      EXPECT_TRUE(w.at(layer + "attention.norm.weight").equal(norms[l]));
      EXPECT_TRUE(
          w.at(layer + "attention.qkv")
              .equal(torch::cat({query[l].index_select(0, halves),
                                 key[l].index_select(0, halves.slice(0, 0, 4)), value[l]})));
      EXPECT_TRUE(w.at(layer + "attention.output").equal(output[l]));
      EXPECT_TRUE(w.at(layer + "mlp.norm.weight").equal(mlp_norms[l]));
      EXPECT_TRUE(w.at(layer + "mlp.up").equal(torch::cat({gate[l], up[l]})));
      EXPECT_TRUE(w.at(layer + "mlp.down").equal(down[l]));
    }
    next({7, 4});  // angles
    if (!tied) {
      EXPECT_TRUE(w.at("head").equal(next({5, 8})));
    }
  }
}

TEST_F(Llama2c, AnythingElseIsRefused) {
  const auto refusal = [](const fs::path& path) {
    return error_of([&] { Llama2cFile file(path); });
  };
  expect_in(refusal(put(kVocabulary, 1)),
            {"model.bin: not a checkpoint of llama2.c, or cut short"});
  expect_in(refusal(put(kVocabulary, -1)), {"the sizes in its header make"});
  expect_in(refusal(put(kVocabulary, 0, 0)), {"0 in its header, expected sizes of 1 to"});
  expect_in(refusal(put(kVocabulary, 0, 9)), {"do not divide"});
  expect_in(refusal(put(kVocabulary, 0, 0x616b3432)), {"a later form"});
  put_text(folder_ / "short", "abc");
  expect_in(refusal(folder_ / "short"), {"it has 3 bytes, fewer than the 28"});
}

}  // namespace
}  // namespace pointwork::test
