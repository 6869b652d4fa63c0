#pragma once
// A model on disk made another on disk, tensor by tensor: Hugging Face's layout ⇄ ours, dtypes,
// shards, llama2.c's files.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pointwork/checkpoint/checkpoint.h"

namespace pointwork {

enum class ModelFormat { pointwork, hugging_face };

struct ExchangeOptions {
  ModelFormat format = ModelFormat::pointwork;
  std::optional<torch::Dtype> dtype;          // of floating-point tensors; absent: as they are
  uint64_t shard_bytes = uint64_t{50} << 30;  // of Hugging Face's files
  bool replace = false;
};

struct ExchangeResult {
  std::string model_type;  // "pointwork", or the class
  int64_t tensors = 0, files = 0;
  uint64_t bytes = 0;  // of tensors
};

// Writes `to` from the files of `from`, tokenizer and generation_config.json besides; a trainer's
// state is left behind. To Hugging Face's format as the class it came from, else the first that
// computes the same, with pointwork.toml beside it where a class has no place for what it says;
// where there is none, as our own, whose config.json has model_type "pointwork". Memory: a tensor
// and a few megabytes.
ExchangeResult exchange(const Checkpoint& from, const std::filesystem::path& to,
                        const ExchangeOptions& options);

// A tensor of a model of ours that lies in a file of others.
struct OwnTensor {
  std::string name;
  std::vector<int64_t> shape;
  // Its pieces in order, mapped; their elements one after another are its.
  std::function<void(const std::function<void(const Tensor&)>&)> each_piece;
};

// A checkpoint of ours of tensors that lie elsewhere: exactly those of a model of `config`, in the
// dtypes that it has in `dtype`. Files named in `beside` are copied into it.
ExchangeResult write_own(const Config& config, torch::Dtype dtype,
                         const std::vector<OwnTensor>& tensors, const SaveContent& content,
                         const std::vector<std::filesystem::path>& beside,
                         const std::filesystem::path& to, bool replace);

}  // namespace pointwork
