#pragma once
// A data set of bytes, and models that fit it.

#include <ATen/Parallel.h>

#include <cstring>
#include <string>
#include <vector>

#include "pointwork/train/trainer.h"
#include "tests/data/cases.h"
#include "tests/support/lively.h"

namespace pointwork::test {

// The test config `name` on the 257 ids of bytes; keys as on the command line, without dashes.
inline Config byte_config(const std::string& name, const std::vector<Override>& overrides = {}) {
  Config config = config_named(name);
  config.model.vocab_size = 257;
  return parse_config(to_toml(config), name, overrides);
}

// Documents of random small letters: nothing that a model could learn by heart in a few steps.
inline std::string letters(int documents, uint64_t seed = 1) {
  std::string lines;
  for (int i = 0; i < documents; ++i) {
    lines += "{\"text\": \"";
    const uint64_t key = stream_key(seed, "document " + std::to_string(i));
    const uint64_t length = 20 + random_below(60, key, 0);
    for (uint64_t c = 1; c <= length; ++c)
      lines += static_cast<char>('a' + static_cast<int>(random_below(20, key, c)));
    lines += "\"}\n";
  }
  return lines;
}

// A data set prepared in a folder of its own.
class ByteData {
 public:
  explicit ByteData(int documents = 60, double validation = 0.2)
      : made_(prepare({.inputs = {write(folder_ / "in.jsonl", letters(documents))},
                       .out = folder_ / "data",
                       .source = {},
                       .validation_share = validation,
                       .progress = {}},
                      byte_encoder())),
        dataset(folder_ / "data") {
    at::set_num_threads(1);  // work this small only waits for a second
  }

 private:
  TemporaryFolder folder_;
  Manifest made_;

 public:
  Dataset dataset;
};

inline Trainer new_trainer(const Config& config, const Dataset& dataset) {
  auto model = std::make_shared<Model>(config);
  initialise(*model, static_cast<uint64_t>(config.train.seed));
  convert(*model,
          config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32,
          torch::kCPU);
  return {model, dataset};
}

// Copies of all parameters and buffers.
inline std::map<std::string, Tensor> snapshot(const Model& model) {
  std::map<std::string, Tensor> all;
  for (const auto& item : model.named_parameters()) all[item.key()] = item.value().detach().clone();
  for (const auto& item : model.named_buffers()) all[item.key()] = item.value().detach().clone();
  return all;
}

// The same names, shapes and bits.
inline void expect_same_bits(const std::map<std::string, Tensor>& got,
                             const std::map<std::string, Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    const Tensor a = got.at(name).detach().contiguous(), b = tensor.detach().contiguous();
    ASSERT_EQ(a.sizes(), b.sizes()) << name;
    ASSERT_EQ(a.scalar_type(), b.scalar_type()) << name;
    EXPECT_EQ(std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()), 0) << name;
  }
}

inline std::map<std::string, Tensor> copies(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> made;
  for (const auto& [name, tensor] : tensors) made[name] = tensor.detach().clone();
  return made;
}

}  // namespace pointwork::test
