#include "pointwork/route/router_features.h"

#include "pointwork/base/check.h"
#include "pointwork/ops/gru.h"
#include "pointwork/ops/linear.h"

namespace pointwork {
namespace {

double multiply_adds(const Tensor& weight) {
  return weight.defined() ? static_cast<double>(weight.numel()) : 0;
}

}  // namespace

Tensor RouterFeatures::product(const FeatureInput& in, const Tensor& weight,
                               const Tensor& bias) const {
  check(in.x.dim() == 2 && in.x.size(1) == width_, "[router_features] x must be [T, ", width_,
        "] but has shape ", in.x.sizes());
  if (!in.extra.defined()) return router_product(in.x, weight, bias, in.noise);
  check(in.extra.dim() == 1 && in.extra.size(0) == width_, "[router_features] extra must be [",
        width_, "] but has shape ", in.extra.sizes());
  const Tensor extra = in.extra.to(weight.scalar_type());
  // As little as a bias, whatever the rows: nothing that FLOPs count.
  const Tensor shift = bias.defined() ? bias + (weight * extra).sum(1) : (weight * extra).sum(1);
  return router_product(in.x, weight, shift, in.noise);
}

MlpFeatures::MlpFeatures(int64_t width, int64_t size) : RouterFeatures(width, size) {
  hidden = register_parameter("hidden", torch::empty({size, width}));
  hidden_bias = register_parameter("hidden_bias", torch::zeros({size}));
}

Tensor MlpFeatures::forward(const FeatureInput& in) {
  return at::relu(product(in, hidden, hidden_bias));
}

double MlpFeatures::flops_per_row(bool) const { return 2 * multiply_adds(hidden); }

double MlpFeatures::kept_values_per_row(bool) const { return static_cast<double>(size()); }

GruFeatures::GruFeatures(int64_t width, int64_t size, int64_t projected)
    : RouterFeatures(width, size) {
  if (projected > 0)
    projection = register_parameter("projection", torch::empty({projected, width}));
  input = register_parameter("input", torch::empty({3 * size, projected > 0 ? projected : width}));
  input_bias = register_parameter("input_bias", torch::zeros({3 * size}));
  recurrent = register_parameter("recurrent", torch::empty({3 * size, size}));
  recurrent_bias = register_parameter("recurrent_bias", torch::zeros({3 * size}));
}

Tensor GruFeatures::forward(const FeatureInput& in) {
  const Tensor a = projection.defined() ? project(product(in, projection, {}), input, input_bias)
                                        : product(in, input, input_bias);
  if (!in.hidden.defined()) return gru_cell(a, recurrent_bias);
  check(in.hidden.dim() == 2 && in.hidden.size(0) == in.x.size(0) && in.hidden.size(1) == size() &&
            in.hidden.scalar_type() == a.scalar_type(),
        "[router_features] hidden must be ", a.scalar_type(), " [", in.x.size(0), ", ", size(),
        "] but is ", in.hidden.scalar_type(), " ", in.hidden.sizes());
  return gru_cell(a, project(in.hidden, recurrent, recurrent_bias), in.hidden);
}

double GruFeatures::flops_per_row(bool first_round) const {
  return 2 * (multiply_adds(projection) + multiply_adds(input) +
              (first_round ? 0 : multiply_adds(recurrent)));
}

// The cell's gates and its result, and what the input's product reads.
double GruFeatures::kept_values_per_row(bool first_round) const {
  return static_cast<double>((first_round ? 4 : 5) * size() +
                             (projection.defined() ? projection.size(0) : 0));
}

std::shared_ptr<RouterFeatures> make_features(const FeatureOptions& options, int64_t width) {
  if (options.kind == FeatureOptions::Kind::linear) return nullptr;
  check(width > 0 && options.size > 0, "[router_features] widths must be above 0 but are ", width,
        " and ", options.size);
  const bool gru = options.kind == FeatureOptions::Kind::gru;
  check(options.projected >= 0 && (gru || options.projected == 0),
        "[router_features] only a gru's input is projected, to a width above 0, but projected is ",
        options.projected);
  if (gru) return std::make_shared<GruFeatures>(width, options.size, options.projected);
  return std::make_shared<MlpFeatures>(width, options.size);
}

}  // namespace pointwork
