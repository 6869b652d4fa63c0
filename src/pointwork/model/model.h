#pragma once
// The trunk: embeddings, layers, final norm, head.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pointwork/config/config.h"
#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"

namespace pointwork {

struct ModelOutput {
  Tensor hidden;              // [T, D], after the final norm
  std::vector<Route> routes;  // in forward order
};

class Model : public torch::nn::Module {
 public:
  // Builds the module tree; weights are not initialised (initialise() or a checkpoint does). Error
  // where the config does not fit together.
  explicit Model(const Config& config);

  ModelOutput forward(const Tensor& token,
                      Context& ctx);    // token int32 [T], one for each of ctx.rows
  const Tensor& head() const;           // [V, D]
  Tensor logits(const Tensor& hidden);  // [T, V], float32

  // Once the micro-batches of a training step are through.
  void end_step();

  // Forward FLOPs part by part, the head on every row. Extent.root_rows may be 0: it is then the
  // sum of its rows.
  FlopParts flops(Extent extent) const;
  int64_t sites() const { return sites_; }  // of the KV cache
  double cached_bytes_per_token(int64_t step, int64_t element_size) const;
  int64_t parameter_count() const;

  const Config& config() const { return config_; }
  const std::vector<BranchPtr>& layers() const { return layers_; }
  torch::Device device() const { return embedding.device(); }
  torch::Dtype dtype() const { return embedding.scalar_type(); }

  Tensor embedding;  // [V, D]
  Tensor position;   // [P, D], with learned positions
  std::shared_ptr<Norm> norm;
  Tensor untied_head;  // [V, D], where not tied

 private:
  Config config_;
  std::vector<BranchPtr> layers_;
  int64_t sites_ = 0;
};

// Weights by name: each parameter's values depend on the seed and its own name alone. GPT-2: N(0,
// range), residual projections divided by √(2·layers); Llama: N(0, range) throughout; Switch
// (§2.4): the layers' matrices from a normal of deviation √(scale / inputs), cut at 2 deviations.
// Predictors draw from their own scale; routers, their features included, from
// route.initializer_range.
void initialise(Model& model, uint64_t seed);

// Parameters that only the causal decision uses. They have their own gradient norm and take no part
// in the language model.
bool is_predictor(const std::string& parameter_name);

// Parameters of a router's features, registered as `features`.
bool is_feature(const std::string& parameter_name);

// Parameters of routers, of predictors too.
std::set<std::string> router_parameters(const Model& model);

// Matrices, those of experts included: what weight decay shrinks. Norms, biases and routers are
// none.
bool is_matrix(const std::string& parameter_name, const Tensor& parameter);

// Everything but what must stay float32 (routers, thresholds) becomes `dtype`; the model moves to
// `device`.
void convert(Model& model, torch::Dtype dtype, torch::Device device);

// The same on the CPU for a model whose values are about to be written: they are lost.
void make_room(Model& model, torch::Dtype dtype);

}  // namespace pointwork
