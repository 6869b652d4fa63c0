#include "pointwork/nn/attention.h"

#include <cmath>

#include "pointwork/nn/attend.h"
#include "pointwork/nn/kv_cache.h"
#include "pointwork/ops/linear.h"
#include "pointwork/ops/norm.h"
#include "pointwork/ops/rope.h"

namespace pointwork {

Attention::Attention(const ModelConfig& model, const AttentionConfig& config)
    : heads_(config.num_attention_heads),
      key_value_heads_(config.num_key_value_heads > 0 ? config.num_key_value_heads : heads_),
      head_dim_(config.head_dim > 0 ? config.head_dim : model.hidden_size / heads_),
      theta_(config.rope_theta),
      eps_(model.norm_eps),
      qk_norm_(config.qk_norm) {
  const int64_t d = model.hidden_size;
  const int64_t projected = (heads_ + 2 * key_value_heads_) * head_dim_;
  rotary_dims_ = rotary_width(config, head_dim_);
  scale_ = config.scale > 0 ? config.scale : 1 / std::sqrt(static_cast<double>(head_dim_));
  norm = register_module("norm", std::make_shared<Norm>(d, model));
  qkv = register_parameter("qkv", torch::empty({projected, d}));
  if (config.qkv_bias) qkv_bias = register_parameter("qkv_bias", torch::zeros({projected}));
  if (qk_norm_ != QkNorm::none) {
    const bool whole = qk_norm_ == QkNorm::projection;
    query_norm = register_parameter("query_norm", torch::ones({head_dim_ * (whole ? heads_ : 1)}));
    key_norm =
        register_parameter("key_norm", torch::ones({head_dim_ * (whole ? key_value_heads_ : 1)}));
  }
  output = register_parameter("output", torch::empty({d, heads_ * head_dim_}));
  if (config.output_bias) output_bias = register_parameter("output_bias", torch::zeros({d}));
  if (config.output_norm) {
    output_norm = register_module("output_norm", std::make_shared<Norm>(d, model));
  }
}

Tensor Attention::normalise(const Tensor& x, const Tensor& weight) const {
  if (qk_norm_ == QkNorm::none) return x;
  if (qk_norm_ == QkNorm::head) return rms_norm(x, weight, eps_);
  return rms_norm(x.flatten(1), weight, eps_).view_as(x);
}

Tensor Attention::mix(const Tensor& x, Context& ctx) {
  const Tensor projected = project(norm->forward(x), qkv, qkv_bias)
                               .view({x.size(0), heads_ + 2 * key_value_heads_, head_dim_});
  auto split = projected.split({heads_, key_value_heads_, key_value_heads_}, 1);
  Tensor query = normalise(split[0], query_norm);
  Tensor key = normalise(split[1], key_norm);
  if (rotary_dims_ > 0) {
    query = rotate(query, ctx.rows.position, rotary_dims_, theta_);
    key = rotate(key, ctx.rows.position, rotary_dims_, theta_);
  }
  const Tensor mixed =
      ctx.cache ? ctx.cache->attend(site_ + ctx.site_offset, query, key, split[2], ctx.rows, scale_)
                : attend(query, key, split[2], ctx.rows, scale_);
  return mixed.flatten(1);
}

Output Attention::forward(const Tensor& x, Context& ctx) {
  Tensor delta = project(mix(x, ctx), output, output_bias);
  return {output_norm ? output_norm->forward(delta) : delta, {}};
}

Output Attention::add_to(const Tensor& x, Context& ctx) {
  if (output_norm) return Branch::add_to(x, ctx);
  return {project_add(x, mix(x, ctx), output, output_bias), {}};
}

// The normalised row, the projection, its normed and rotated copies, what attention gives with its
// row sums, and the new stream.
double Attention::kept_bytes(const Extent& extent, double element) const {
  const double size = static_cast<double>(output.size(0));
  const double queries = static_cast<double>(heads_ * head_dim_),
               keys = static_cast<double>(key_value_heads_ * head_dim_);
  double values = 2 * size + 2 * queries + 2 * keys;
  if (qk_norm_ != QkNorm::none) values += queries + keys;
  if (rotary_dims_ > 0) values += queries + keys;
  if (output_norm) values += size;
  return extent.total() * (values * element + 4 * static_cast<double>(heads_) + 8);
}

void Attention::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  double rest = parameter_count(*this);
  const auto part = [&](const std::string& what, const Tensor& weight, const Tensor& bias) {
    const double size = static_cast<double>(weight.numel());
    const double all = size + (bias.defined() ? static_cast<double>(bias.numel()) : 0);
    parts.push_back({name + "." + what, 2 * size * extent.total(), all, all * extent.share()});
    rest -= all;
  };
  part("qkv", qkv, qkv_bias);
  // Scores and their product with the values, per query head.
  const double each = 4.0 * static_cast<double>(heads_ * head_dim_);
  parts.push_back({name + ".pairs", each * extent.pairs(), 0, 0, each * extent.masked_pairs()});
  part("output", output, output_bias);
  parts.push_back({name + ".norms", 0, rest, rest * extent.share()});
}

int64_t Attention::number_sites(int64_t first) {
  site_ = first;
  return first + 1;
}

double Attention::cached_values_per_token(int64_t) const {
  return 2.0 * static_cast<double>(key_value_heads_ * head_dim_);
}

}  // namespace pointwork
