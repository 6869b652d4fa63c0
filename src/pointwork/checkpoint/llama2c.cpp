#include "pointwork/checkpoint/llama2c.h"

#include <cstdlib>
#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork {
namespace {

constexpr size_t kHeader = 7 * sizeof(int32_t);
constexpr uint32_t kLaterMagic = 0x616b3432;
constexpr int64_t kLargest = 1 << 24;

// "layers.2.attention.qkv"
std::string named(int64_t layer, const char* rest) { return concat("layers.", layer, ".", rest); }

}  // namespace

Llama2cFile::Llama2cFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string() + ": ";
  const auto bytes = file_.bytes();
  check(bytes.size() >= kHeader, where, "not a checkpoint of llama2.c: it has ", bytes.size(),
        " bytes, fewer than the ", kHeader, " of its header");
  int32_t head[7];
  std::memcpy(head, bytes.data(), kHeader);
  check(static_cast<uint32_t>(head[0]) != kLaterMagic, where,
        "a later form of llama2.c's checkpoints, expected the first, which has no magic number");
  tied_ = head[5] > 0;
  n_ = {head[0], head[1], head[2], head[3], head[4], std::abs(int64_t{head[5]}), head[6]};
  for (const int64_t one : {n_.width, n_.mlp_width, n_.layers, n_.heads, n_.key_value_heads,
                            n_.vocabulary, n_.positions})
    check(one >= 1 && one <= kLargest, where, "not a checkpoint of llama2.c: ", one,
          " in its header, expected sizes of 1 to ", kLargest);
  check(n_.width % n_.heads == 0 && n_.heads % n_.key_value_heads == 0, where,
        "not a checkpoint of llama2.c: width ", n_.width, ", ", n_.heads, " heads and ",
        n_.key_value_heads, " key-value heads do not divide");
  const double d = static_cast<double>(n_.width),
               pairs = d / static_cast<double>(n_.heads) * static_cast<double>(n_.key_value_heads);
  const double layer =
      2 * d + 2 * d * d + 2 * d * pairs + 3 * d * static_cast<double>(n_.mlp_width);
  const double values = static_cast<double>(n_.vocabulary) * d * (tied_ ? 1 : 2) +
                        static_cast<double>(n_.layers) * layer + d +
                        static_cast<double>(n_.positions) * d / static_cast<double>(n_.heads);
  check(static_cast<double>(bytes.size()) == 4 * values + static_cast<double>(kHeader), where,
        "not a checkpoint of llama2.c, or cut short: it has ", bytes.size(),
        " bytes, but the sizes in its header make ", static_cast<uint64_t>(4 * values) + kHeader);

  ModelConfig& m = config_.model;
  m.vocab_size = n_.vocabulary;
  m.hidden_size = n_.width;
  m.num_hidden_layers = n_.layers;
  m.max_position_embeddings = n_.positions;
  m.layers.repeat = {"dense"};
  m.position_embedding = PositionEmbedding::none;
  m.norm = NormKind::rmsnorm;
  m.tie_word_embeddings = tied_;
  m.initializer = Initializer::llama;
  AttentionConfig attention{.num_attention_heads = n_.heads,
                            .num_key_value_heads = n_.key_value_heads,
                            .rope_theta = 10000};
  config_.branch["attention"].form = attention;
  config_.branch["mlp"].form =
      MlpConfig{.intermediate_size = n_.mlp_width, .hidden_act = Activation::swiglu};
  config_.branch["dense"].form = ChainConfig{{"attention", "mlp"}};
  config_.train.sequence_length = std::min<int64_t>(n_.positions, 1024);
  config_ = parse_config(to_toml(config_), path.string());
}

Tensor Llama2cFile::mapped(uint64_t element, const std::vector<int64_t>& shape) const {
  void* data = const_cast<std::byte*>(file_.bytes().data()) + kHeader + element * sizeof(float);
  return torch::from_blob(data, shape, torch::kFloat32);
}

std::vector<OwnTensor> Llama2cFile::tensors() const {
  const int64_t d = n_.width, f = n_.mlp_width, width = d / n_.heads,
                pairs = width * n_.key_value_heads, layers = n_.layers;
  std::vector<OwnTensor> all;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape,
                       const std::vector<Tensor>& pieces) {
    all.push_back({name, shape, [pieces](const auto& use) {
                     for (const Tensor& piece : pieces) use(piece);
                   }});
  };
  uint64_t next = 0;
  // Of one kind for every layer, one after another.
  const auto kind = [&](const std::vector<int64_t>& shape, int64_t times) {
    std::vector<Tensor> of;
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    for (int64_t i = 0; i < times; ++i, next += static_cast<uint64_t>(count))
      of.push_back(mapped(next, shape));
    return of;
  };
  // Rotated there in neighbouring pairs, here in halves of a head.
  const auto halves = [&](const Tensor& rows) {
    return rows.view({rows.size(0) / width, width / 2, 2, d}).transpose(1, 2);
  };
  const auto embedding = kind({n_.vocabulary, d}, 1), attention_norm = kind({d}, layers),
             query = kind({d, d}, layers), key = kind({pairs, d}, layers),
             value = kind({pairs, d}, layers), output = kind({d, d}, layers),
             mlp_norm = kind({d}, layers), gate = kind({f, d}, layers), down = kind({d, f}, layers),
             up = kind({f, d}, layers), norm = kind({d}, 1);
  next += static_cast<uint64_t>(n_.positions * width);  // two tables of angles
  add("embedding", {n_.vocabulary, d}, embedding);
  for (int64_t i = 0; i < layers; ++i) {
    const auto l = static_cast<size_t>(i);
    add(named(i, "attention.norm.weight"), {d}, {attention_norm[l]});
    add(named(i, "attention.qkv"), {d + 2 * pairs, d},
        {halves(query[l]), halves(key[l]), value[l]});
    add(named(i, "attention.output"), {d, d}, {output[l]});
    add(named(i, "mlp.norm.weight"), {d}, {mlp_norm[l]});
    add(named(i, "mlp.up"), {2 * f, d}, {gate[l], up[l]});
    add(named(i, "mlp.down"), {d, f}, {down[l]});
  }
  add("norm.weight", {d}, norm);
  if (!tied_) add("head", {n_.vocabulary, d}, kind({n_.vocabulary, d}, 1));
  return all;
}

ExchangeResult convert_llama2c(const std::filesystem::path& from,
                               const std::filesystem::path& tokenizer,
                               const std::filesystem::path& to, const ExchangeOptions& options) {
  const Llama2cFile file(from);
  SaveContent content;
  if (!tokenizer.empty()) {
    const Tokenizer read = Tokenizer::load(tokenizer);
    check(read.vocab_size() == file.config().model.vocab_size, tokenizer.string(), " has ",
          read.vocab_size(), " tokens, but the model ", file.config().model.vocab_size);
    content.tokenizer = read.to_json();
    content.tokenizer_hash = read.hash();
    // A text begins with id 1, and ends where the next would begin.
    content.carried = {{"config", nullptr},
                       {"generation_config", {{"bos_token_id", 1}, {"eos_token_id", {1, 2}}}}};
  }
  return write_own(file.config(), options.dtype.value_or(torch::kFloat32), file.tensors(), content,
                   {}, to, options.replace);
}

}  // namespace pointwork
