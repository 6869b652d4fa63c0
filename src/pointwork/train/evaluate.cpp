#include "pointwork/train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/train/objective.h"

namespace pointwork {

Evaluation evaluate(Model& model, const Dataset& dataset, const EvaluateOptions& options) {
  const torch::NoGradGuard no_grad;
  const int64_t available = dataset.windows(options.split, options.length);
  const char* split = options.split == Split::train ? "train" : "validation";
  check(available > 0, "data set ", dataset.folder().string(), ": its ", split, " split has ",
        dataset.tokens(options.split), " tokens, too few for one window of ", options.length,
        " + 1");
  const int64_t total = options.sequences > 0 ? std::min(options.sequences, available) : available;

  Tensor nll =
      torch::zeros({}, torch::TensorOptions().dtype(torch::kFloat64).device(model.device()));
  Tensor count =
      torch::zeros({}, torch::TensorOptions().dtype(torch::kInt64).device(model.device()));
  RouteStatsSum stats;
  for (int64_t first = 0; first < total; first += options.batch) {
    const int64_t size = std::min(options.batch, total - first);
    Batch batch{.sequences = size, .length = options.length};
    batch.input.resize(static_cast<size_t>(size * options.length));
    batch.target.resize(batch.input.size());
    batch.document.resize(batch.input.size());
    batch.sequence.resize(static_cast<size_t>(size));
    batch.valid.resize(static_cast<size_t>(size));
    for (int64_t row = 0; row < size; ++row) dataset.read(options.split, first + row, row, batch);

    Context ctx{.routing = options.routing, .step = options.step, .seed = options.seed};
    const BatchTensors tensors =
        to_tensors(batch, model.device(), {.document_mask = options.document_mask});
    const Losses losses = compute_losses(model, tensors, ctx, 0);
    nll += losses.nll_sum;
    count += losses.count;
    stats.add(losses.routes);
    if (options.progress) options.progress(first + size, total);
  }

  Evaluation result;
  result.tokens = count.item<int64_t>();
  result.loss = nll.item<double>() / static_cast<double>(std::max<int64_t>(result.tokens, 1));
  result.perplexity = std::exp(result.loss);
  result.bits_per_byte = result.loss / M_LN2 / dataset.bytes_per_token(options.split);
  result.layers = stats.read();
  result.decision = overall(result.layers);
  // A dense model has every row take every block, and no decision that could differ.
  if (result.layers.empty())
    result.decision = {.name = "all",
                       .selected_share = 1,
                       .accuracy = 1,
                       .precision = 1,
                       .recall = 1,
                       .experts = {}};
  result.routed_share = result.decision.selected_share;
  return result;
}

}  // namespace pointwork
