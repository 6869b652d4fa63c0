#pragma once
// What stands between a row and a router's last linear map: a hidden layer, or a recurrent cell
// whose state a row carries through the rounds of a repeat.

#include <torch/nn/module.h>

#include <memory>

#include "pointwork/ops/router_scores.h"

namespace pointwork {

struct FeatureInput {
  Tensor x;          // [T, D], of the stream's type
  Tensor hidden;     // [T, r] of the last round, with carries(); undefined: 0, the first round
  Tensor extra;      // [D], added to every row's copy after its noise, or undefined: a round's own
  InputNoise noise;  // on the copy that is read
};

// All in float32 (float64 for float64 rows) whatever the stream's type. No copy of x is kept for
// the backward pass, and extra costs as much as a bias, never a sum of [T, D].
class RouterFeatures : public torch::nn::Module {
 public:
  // D: of the rows. r: of the features.
  RouterFeatures(int64_t width, int64_t size) : width_(width), size_(size) {}

  virtual Tensor forward(const FeatureInput& in) = 0;  // [T, r]

  // Whether forward()'s result is the next round's `hidden`: state that a repeat carries.
  virtual bool carries() const = 0;

  // Forward FLOPs of a row.
  virtual double flops_per_row(bool first_round) const = 0;

  // Values of float32 kept for the backward pass a row, forward()'s result among them.
  virtual double kept_values_per_row(bool first_round) const = 0;

  int64_t width() const { return width_; }
  int64_t size() const { return size_; }

 protected:
  // (x̃ + extra) Wᵀ + bias; bias may be undefined. weight [M, D] → [T, M]
  Tensor product(const FeatureInput& in, const Tensor& weight, const Tensor& bias) const;

 private:
  int64_t width_, size_;
};

// relu(W x + b)
class MlpFeatures : public RouterFeatures {
 public:
  MlpFeatures(int64_t width, int64_t size);
  Tensor forward(const FeatureInput& in) override;
  bool carries() const override { return false; }
  double flops_per_row(bool first_round) const override;
  double kept_values_per_row(bool first_round) const override;

  Tensor hidden;       // [r, D]
  Tensor hidden_bias;  // [r]
};

// A GRU cell (ops/gru.h) over rounds, never over positions: rows are independent of one another.
// `projected` p > 0: it reads P x, p wide, which is cheaper where D is small beside 3 r.
class GruFeatures : public RouterFeatures {
 public:
  GruFeatures(int64_t width, int64_t size, int64_t projected = 0);
  Tensor forward(const FeatureInput& in) override;
  bool carries() const override { return true; }
  double flops_per_row(bool first_round) const override;
  double kept_values_per_row(bool first_round) const override;

  Tensor projection;      // [p, D], or undefined
  Tensor input;           // [3r, D or p]: reset, update, new
  Tensor input_bias;      // [3r]
  Tensor recurrent;       // [3r, r]
  Tensor recurrent_bias;  // [3r]
};

struct FeatureOptions {
  enum class Kind { linear, mlp, gru } kind = Kind::linear;
  int64_t size = 256;     // r
  int64_t projected = 0;  // p, of a gru
};

// linear: null, since the last map then reads the row itself.
std::shared_ptr<RouterFeatures> make_features(const FeatureOptions& options, int64_t width);

}  // namespace pointwork
