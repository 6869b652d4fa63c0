#include "pointwork/model/model.h"

#include "pointwork/base/check.h"
#include "pointwork/model/build.h"
#include "pointwork/ops/linear.h"
#include "pointwork/ops/rows.h"
#include "pointwork/route/router.h"

namespace pointwork {

Model::Model(const Config& config) : config_(config) {
  const ModelConfig& m = config_.model;
  check(m.vocab_size > 0, "model.vocab_size must be known before a model is built but is 0");
  embedding = register_parameter("embedding", torch::empty({m.vocab_size, m.hidden_size}));
  if (m.position_embedding == PositionEmbedding::learned) {
    position =
        register_parameter("position", torch::empty({m.max_position_embeddings, m.hidden_size}));
  }
  const std::vector<std::string> names = layer_names(m);
  const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = concat("layers.", i);
    layers_.push_back(build_branch(config_, names[i], path));
    list->register_module(concat(i), layers_.back());
    sites_ = layers_.back()->number_sites(sites_);
  }
  norm = register_module("norm", std::make_shared<Norm>(m.hidden_size, m));
  if (!m.tie_word_embeddings) {
    untied_head = register_parameter("head", torch::empty({m.vocab_size, m.hidden_size}));
  }
}

ModelOutput Model::forward(const Tensor& token, Context& ctx) {
  check(token.dim() == 1 && token.size(0) == ctx.rows.count(), "[model] token must be [",
        ctx.rows.count(), "], one for each row, but has shape ", token.sizes());
  ModelOutput out;
  Tensor x = embed(embedding, token);
  if (position.defined()) x = x + embed(position, ctx.rows.position);
  for (const BranchPtr& layer : layers_) {
    Output next = layer->add_to(x, ctx);
    x = next.delta;
    for (Route& route : next.routes) out.routes.push_back(std::move(route));
  }
  out.hidden = norm->forward(x);
  return out;
}

void Model::end_step() {
  for (const auto& module : modules(false)) {
    if (auto* router = dynamic_cast<Router*>(module.get())) router->end_step();
  }
}

const Tensor& Model::head() const { return untied_head.defined() ? untied_head : embedding; }

Tensor Model::logits(const Tensor& hidden) { return project(hidden, head()).to(torch::kFloat32); }

FlopParts Model::flops(Extent extent) const {
  check(!extent.entered || extent.past.empty(),
        "[flops] measured rows must be counted from the beginning of their sequences, but there "
        "are rows before them");
  if (extent.root_rows == 0) extent.root_rows = extent.total();
  size_t next = 0;
  if (extent.entered && !extent.next_entered) extent.next_entered = &next;
  FlopParts parts;
  const auto weights = [](const Tensor& t) {
    return t.defined() ? static_cast<double>(t.numel()) : 0;
  };
  parts.push_back({"embedding", 0, weights(embedding), weights(embedding)});
  if (position.defined()) parts.push_back({"position", 0, weights(position), weights(position)});
  for (size_t i = 0; i < layers_.size(); ++i)
    layers_[i]->flops(extent, concat("layers.", i), parts);
  check(!extent.entered || *extent.next_entered == extent.entered->size(),
        "[flops] the model took ", extent.entered ? *extent.next_entered : 0,
        " measured routes but was given ", extent.entered ? extent.entered->size() : 0);
  const double norms = weights(norm->weight) + weights(norm->bias);
  parts.push_back({"norm", 0, norms, norms});
  parts.push_back(
      {"head", 2 * weights(head()) * extent.total(), weights(untied_head), weights(untied_head)});
  return parts;
}

double Model::cached_bytes_per_token(int64_t step, int64_t element_size) const {
  double values = 0;
  for (const BranchPtr& layer : layers_) values += layer->cached_values_per_token(step);
  return values * static_cast<double>(element_size);
}

int64_t Model::parameter_count() const {
  int64_t count = 0;
  for (const Tensor& p : parameters()) count += p.numel();
  return count;
}

}  // namespace pointwork
