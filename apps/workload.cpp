#include "apps/workload.h"

#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/decode/generate.h"
#include "pointwork/ops/rows.h"
#include "pointwork/route/router.h"
#include "pointwork/train/objective.h"
#include "pointwork/train/optimizer.h"
#include "pointwork/train/plan.h"

namespace pointwork::app {
namespace {

std::shared_ptr<Model> random_model(const Config& config, torch::Device device) {
  auto model = std::make_shared<Model>(config);
  initialise(*model, static_cast<uint64_t>(config.train.seed));
  convert(*model,
          config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32,
          device);
  return model;
}

class Base : public Workload {
 public:
  Base(std::string name, const Config& config, torch::Device device)
      : name_(std::move(name)), model_(random_model(config, device)) {}
  std::string name() const override { return name_; }
  torch::Dtype dtype() const override { return model_->dtype(); }
  void run() override {
    work();
    if (model_->device().is_cuda()) torch::cuda::synchronize();
  }

 protected:
  virtual void work() = 0;
  const Config& config() const { return model_->config(); }
  int32_t random_id(uint64_t i) const {
    return static_cast<int32_t>(
        random_below(7, i, static_cast<uint64_t>(config().model.vocab_size)));
  }

  std::string name_;
  std::shared_ptr<Model> model_;
};

Batch random_batch(const Config& config) {
  const TrainConfig& t = config.train;
  Batch batch{.sequences = t.batch_size, .length = t.sequence_length};
  for (int64_t i = 0; i < t.batch_size * t.sequence_length; ++i) {
    batch.input.push_back(static_cast<int32_t>(
        random_below(7, static_cast<uint64_t>(i), static_cast<uint64_t>(config.model.vocab_size))));
    batch.target.push_back(static_cast<int32_t>(
        random_below(8, static_cast<uint64_t>(i), static_cast<uint64_t>(config.model.vocab_size))));
    batch.document.push_back(0);
  }
  for (int64_t b = 0; b < t.batch_size; ++b) {
    batch.sequence.push_back(b);
    batch.valid.push_back(static_cast<int32_t>(t.sequence_length));
  }
  return batch;
}

class Step : public Base {
 public:
  Step(std::string name, const Config& config, torch::Device device)
      : Base(std::move(name), config, device),
        optimizer_(*model_, config.optimizer, config.guard),
        batch_(random_batch(config)),
        flops_(
            model_flops(*model_, config.train.sequence_length, capacity_changes(config).back())) {}
  double tokens() const override {
    return static_cast<double>(config().train.batch_size * config().train.sequence_length *
                               config().train.gradient_accumulation_steps);
  }
  double flops() const override { return flops_.expected.train * tokens(); }
  double flops_palm() const override { return flops_.palm_train * tokens(); }

 protected:
  void work() override {
    Tensor loss;
    for (int64_t i = 0; i < config().train.gradient_accumulation_steps; ++i) {
      Context ctx{.training = true, .step = capacity_changes(config()).back()};
      const BatchTensors tensors =
          to_tensors(batch_, model_->device(), {.document_mask = config().train.document_mask});
      Losses losses = compute_losses(*model_, tensors, ctx, config().train.z_loss);
      losses.total.backward();
      optimizer_.accumulate();
      loss = losses.language;
    }
    optimizer_.step(1e-4, loss);
  }

 private:
  Optimizer optimizer_;
  Batch batch_;
  ModelFlops flops_;
};

constexpr int64_t kDecodeBatch = 8;

// Untrained routers would let nobody in, so decisions are drawn at the target share.
Config with_random_choices(Config config) {
  for (auto& [name, branch] : config.branch) {
    if (auto* routed = std::get_if<RoutedConfig>(&branch.form))
      routed->route.choice = ChoiceKind::random;
  }
  return config;
}

class Decode : public Base {
 public:
  Decode(std::string name, const Config& config, torch::Device device)
      : Base(std::move(name), with_random_choices(config), device) {
    const int64_t context = config.model.max_position_embeddings;
    options_ = {.sampler = {.temperature = 0},
                .max_new_tokens = std::max<int64_t>(1, context / 2),
                .step = capacity_changes(config).back()};
    for (int64_t b = 0; b < kDecodeBatch; ++b) {
      prompts_.emplace_back();
      const int64_t length =
          std::max<int64_t>(1, context / 4 - b * std::max<int64_t>(1, context / 64));
      for (int64_t i = 0; i < length; ++i)
        prompts_.back().push_back(random_id(static_cast<uint64_t>(b * context + i)));
    }
    count();
  }
  double tokens() const override { return tokens_; }
  double flops() const override { return flops_; }
  double flops_palm() const override { return flops_; }

 protected:
  void work() override { generate(*model_, prompts_, options_); }

 private:
  // Every row that is run, at its own past length, the head on each: as a forward over the whole
  // sequence in causal routing.
  void count() {
    for (const auto& prompt : prompts_) {
      const auto rows =
          static_cast<double>(static_cast<int64_t>(prompt.size()) + options_.max_new_tokens - 1);
      FlopParts parts =
          model_->flops({.rows = {rows}, .routing = Routing::inference, .step = options_.step});
      for (FlopPart& part : parts) {
        if (part.name == "head") part.flops *= static_cast<double>(options_.max_new_tokens) / rows;
      }
      flops_ += total_flops(parts);
      tokens_ += static_cast<double>(options_.max_new_tokens);
    }
  }

  GenerateOptions options_;
  std::vector<std::vector<int32_t>> prompts_;
  double tokens_ = 0, flops_ = 0;
};

class RouteOnly : public Base {
 public:
  RouteOnly(std::string name, const Config& config, torch::Device device)
      : Base(std::move(name), config, device) {
    for (const auto& module : model_->modules(false)) {
      if (auto router = std::dynamic_pointer_cast<Router>(module)) routers_.push_back(router);
    }
    check(!routers_.empty(), name_, " has no routed branch, so there is no routing to time");
    const TrainConfig& t = config.train;
    rows_ = uniform_rows(t.batch_size, t.sequence_length, device);
    x_ = torch::randn({rows_.count(), config.model.hidden_size},
                      torch::TensorOptions().dtype(model_->dtype()).device(device))
             .requires_grad_();
    for (const FlopPart& part : model_->flops({.rows = {static_cast<double>(t.sequence_length)}})) {
      if (part.name.find(".router") != std::string::npos)
        flops_ += 3 * part.flops * static_cast<double>(t.batch_size);
    }
  }
  double tokens() const override { return static_cast<double>(rows_.count()); }
  double flops() const override { return flops_; }
  double flops_palm() const override { return flops_; }

 protected:
  void work() override {
    Tensor y = x_;
    for (const auto& router : routers_) {
      Context ctx{.rows = rows_, .training = true};
      const Route route = router->forward(y, ctx);
      const RowIndex index{route.token, route.row_offset, route.row_slot};
      y = combine(y, dispatch(y, index), route.weight, index);
    }
    y.backward(torch::ones_like(y));
    x_.mutable_grad().reset();
    for (Tensor& p : model_->parameters()) p.mutable_grad().reset();
  }

 private:
  std::vector<std::shared_ptr<Router>> routers_;
  Rows rows_;
  Tensor x_;
  double flops_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_workload(const std::string& what, const std::string& file,
                                        const Common& common, torch::Device device) {
  const Config config = load_config(file, common.overrides);
  check(config.model.vocab_size > 0, file,
        ": model.vocab_size is 0 (the data set's); give --model.vocab_size=N");
  const std::string name = std::filesystem::path(file).filename().string();
  if (what == "decode") return std::make_unique<Decode>(name, config, device);
  if (what == "route") return std::make_unique<RouteOnly>(name, config, device);
  return std::make_unique<Step>(name, config, device);
}

int at_threads() { return at::get_num_threads(); }

}  // namespace pointwork::app
