#pragma once
// Checkpoints of llama2.c in their first, headerless form: seven int32 (width, mlp width, layers,
// query heads, key-value heads, vocabulary, positions; a negative vocabulary: the head is a matrix
// of its own), then float32 matrices, all layers of one kind together.

#include <filesystem>
#include <memory>
#include <vector>

#include "pointwork/checkpoint/exchange.h"

namespace pointwork {

class Llama2cFile {
 public:
  // Error naming the file unless its length is exactly that of its seven numbers.
  explicit Llama2cFile(const std::filesystem::path& path);
  Llama2cFile(const Llama2cFile&) = delete;  // what tensors() gives refers to it

  const Config& config() const { return config_; }
  std::vector<OwnTensor> tensors() const;  // mapped, as long as this object lives

 private:
  struct Numbers {
    int64_t width, mlp_width, layers, heads, key_value_heads, vocabulary, positions;
  };
  Tensor mapped(uint64_t element, const std::vector<int64_t>& shape) const;

  MappedFile file_;
  Numbers n_{};
  bool tied_ = true;
  Config config_;
};

// Writes the model as a checkpoint of ours. `tokenizer`: llama2.c's own file, "": none.
ExchangeResult convert_llama2c(const std::filesystem::path& from,
                               const std::filesystem::path& tokenizer,
                               const std::filesystem::path& to, const ExchangeOptions& options);

}  // namespace pointwork
