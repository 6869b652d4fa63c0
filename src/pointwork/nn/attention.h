#pragma once
// Causal self-attention: multi-head or grouped-query, rotary or not, over the rows it is given and
// those that the cache holds.

#include "pointwork/config/model_config.h"
#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"

namespace pointwork {

class Attention : public Branch {
 public:
  Attention(const ModelConfig& model, const AttentionConfig& config);
  Output forward(const Tensor& x, Context& ctx) override;
  Output add_to(const Tensor& x, Context& ctx) override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

  std::shared_ptr<Norm> norm, output_norm;
  Tensor qkv;          // [(H + 2K) hd, D]: query rows, key rows, value rows, head by head
  Tensor qkv_bias;     // [(H + 2K) hd], optional
  Tensor query_norm;   // [hd] or [H hd], optional
  Tensor key_norm;     // [hd] or [K hd], optional
  Tensor output;       // [D, H hd]
  Tensor output_bias;  // [D], optional

  int64_t heads() const { return heads_; }
  int64_t key_value_heads() const { return key_value_heads_; }
  int64_t head_dim() const { return head_dim_; }

 private:
  Tensor mix(const Tensor& x, Context& ctx);  // [T, H hd], before the output projection
  Tensor normalise(const Tensor& x, const Tensor& weight) const;

  int64_t heads_, key_value_heads_, head_dim_, rotary_dims_;
  double theta_, scale_, eps_;
  QkNorm qk_norm_;
  int64_t site_ = 0;
};

}  // namespace pointwork
