#pragma once
// Causal self-attention: multi-head or grouped-query, rotary or not, over the rows it is given and
// those that the cache holds. Its weights may be of several experts, among which rows choose.

#include "pointwork/config/model_config.h"
#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"
#include "pointwork/route/router.h"

namespace pointwork {

struct AttentionOptions {
  std::string name;    // its place in the module tree
  bool norm = true;    // inside; false: the branch around it has it
  int64_t rounds = 1;  // of the nearest repeat around
};

// Mixture-of-Modules (arXiv:2407.06677) with a projection_route. Of a row t that takes the experts
// S_t: q, k, v = Σ W_i^{QKV} LN_i(x_t) + b_i over S_t, one attention over the whole sequence, and
// Σ w_ti (W_i^O o_t + b_i^O). Keys and values of a row are its own experts', and every later row
// sees them, whichever experts that one takes.
class Attention : public Branch {
 public:
  Attention(const ModelConfig& model, const AttentionConfig& config,
            const AttentionOptions& options = {});
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  int64_t routers() const override { return router ? 1 : 0; }
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

  std::shared_ptr<Norm> norm, output_norm;  // null where there is none
  std::shared_ptr<Router> router;           // null: one set of weights
  // With a router all but output_norm, query_norm and key_norm have E in front.
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
  Tensor mix(const Tensor& projected, const Rows& rows, const Context& ctx,
             const Tensor& asking) const;  // [T, H hd], before the output projection
  Tensor normalise(const Tensor& x, const Tensor& weight) const;
  Output routed(const Tensor& x, const State& state, Context& ctx, bool add);
  Tensor attend_chosen(const Tensor& projected, Route& route, Context& ctx) const;
  Extent attending(const Extent& extent) const;

  int64_t heads_, key_value_heads_, head_dim_;
  std::vector<double> frequency_;  // [rotary_dims / 2]
  double scale_, eps_;
  QkNorm qk_norm_;
  bool masked_ = false, weighted_qkv_ = false;  // of a projection_route
  bool all_take_ = true;                        // every row takes an expert, whatever it chooses
  int64_t site_ = 0;
};

}  // namespace pointwork
