// What converting and examining a checkpoint takes, seen from outside the program.

#include <gtest/gtest.h>

#include "pointwork/checkpoint/checkpoint.h"
#include "tests/support/cost.h"
#include "tests/support/data.h"
#include "tests/support/program.h"

namespace pointwork::test {
namespace {

// Tensor by tensor: however large the whole, a tensor and a little more is in memory.
TEST(LargeModels, AreConvertedAndExaminedTensorByTensor) {
  const TemporaryFolder folder;
  constexpr int64_t kLargest = int64_t{2 * 2048} * 1024 * 4;
  const Config config = parse_config(
      "[model]\nvocab_size = 300\nhidden_size = 1024\nnum_hidden_layers = 8\n"
      "max_position_embeddings = 32\nposition_embedding = \"none\"\nnorm = \"rmsnorm\"\n"
      "layers = [\"dense\"]\n[branch.attention]\nkind = \"attention\"\n"
      "num_attention_heads = 8\nrope_theta = 10000.0\n[branch.mlp]\nkind = \"mlp\"\n"
      "intermediate_size = 2048\nhidden_act = \"swiglu\"\n[branch.dense]\nkind = "
      "\"chain\"\nof = [\"attention\", \"mlp\"]\n",
      "large.toml");
  Model model(config);
  for (const Tensor& p : model.parameters()) p.data().fill_(0.5);
  const std::filesystem::path ours = folder / "ours", theirs = folder / "theirs",
                              back = folder / "back";
  save_checkpoint(ours, model, {});
  const long long at_start = run_program({"--version"}).peak_memory_bytes;
  ASSERT_GT(std::filesystem::file_size(ours / "model.safetensors"), 15 * kLargest);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"convert", ours, theirs},
                                             {"convert", theirs, back},
                                             {"verify", theirs},
                                             {"verify", back},
                                             {"inspect", back}}) {
    const ProgramResult result = run_program(words);
    EXPECT_EQ(result.status, 0) << result.err;
    if (!kCostsCount) continue;
    EXPECT_LE(result.peak_memory_bytes, at_start + kLargest + (64LL << 20)) << words[0];
  }
}

}  // namespace
}  // namespace pointwork::test
