#include "pointwork/train/memory.h"

#include <algorithm>
#include <set>

#include "pointwork/ops/cross_entropy.h"
#include "pointwork/route/choice.h"
#include "pointwork/train/plan.h"

namespace pointwork {
namespace {

// What LibTorch, its thread pool and its libraries take beside tensors (measured on 2 threads);
// with bfloat16 oneDNN compiles a kernel for each shape of product, of which each number of rows
// has its own.
constexpr double kLibraryBytes = 70e6, kKernelBytes = 15e6;
// A kept block may serve a somewhat smaller tensor (train/block_cache.h): what stays unused so, as
// a share of all that a step takes and gives back (measured).
constexpr double kSlack = 0.07;

// Numbers of rows that products run on: all rows, and those of each capacity on its way.
double row_counts(const Config& config) {
  std::set<double> shares{1};
  for (const auto& [name, branch] : config.branch) {
    const auto* routed = std::get_if<RoutedConfig>(&branch.form);
    if (!routed || routed->route.by_token()) continue;
    for (const int64_t step : capacity_changes(config))
      shares.insert(capacity_at(routed->route, step));
  }
  return static_cast<double>(shares.size());
}

Extent batch_of(const TrainConfig& train) {
  return {.rows = std::vector<double>(static_cast<size_t>(train.batch_size),
                                      static_cast<double>(train.sequence_length))};
}

struct TeacherBytes {
  double kept = 0;     // throughout a step
  double passing = 0;  // of the forward pass: one layer after another
};

TeacherBytes teacher_bytes(const Model& teacher, const TrainConfig& train, double element) {
  const Extent extent = batch_of(train);
  const double row = extent.total() * element;
  const auto width = static_cast<double>(teacher.config().model.hidden_size);
  // Its logits share the bytes that the student's have alone.
  TeacherBytes bytes{.kept =
                         static_cast<double>(teacher.parameter_count()) * element + row * width};
  for (const BranchPtr& layer : teacher.layers())
    bytes.passing = std::max(bytes.passing, layer->kept_bytes(extent, element));
  bytes.passing += 2 * row * width;
  return bytes;
}

}  // namespace

MemoryEstimate training_memory(const Model& model, const Model* teacher) {
  const Config& config = model.config();
  const bool half = config.train.precision == Precision::bfloat16;
  const double element = half ? 2 : 4;
  const double parameters = static_cast<double>(model.parameter_count());
  const double rows = static_cast<double>(config.train.batch_size * config.train.sequence_length);
  const double size = static_cast<double>(config.model.hidden_size);
  const double vocab = static_cast<double>(config.model.vocab_size);

  MemoryEstimate estimate;
  estimate.weights = parameters * element;
  // Two moments, with bfloat16 a master; gradients once in the model's precision, once in float32
  // where that differs or they are summed up.
  const bool copies = half || config.train.gradient_accumulation_steps > 1;
  const double gradients = parameters * (element + (copies ? 4 : 0));
  estimate.optimizer = parameters * (half ? 12 : 8);
  // Sums of gradients wait, in float32, through the next micro-batch.
  if (config.train.gradient_accumulation_steps > 1) estimate.optimizer += 4 * parameters;

  const Extent extent = batch_of(config.train);
  double kept = 2 * rows * size * element;  // the embedded rows, and the final norm's
  if (model.position.defined()) kept += 2 * rows * size * element;
  for (const BranchPtr& layer : model.layers()) kept += layer->kept_bytes(extent, element);
  const double chunk =
      std::min(static_cast<double>(CrossEntropyOptions{}.chunk_bytes), rows * vocab * element);
  estimate.head = chunk + rows * size * element + vocab * size * (half ? 8 : 4);
  // Gradients take the place of activations as the backward pass frees them.
  estimate.activations = std::max(kept, gradients - estimate.head);
  if (teacher) {
    const TeacherBytes bytes = teacher_bytes(*teacher, config.train, element);
    estimate.teacher = bytes.kept;
    estimate.activations = std::max(estimate.activations, bytes.passing);
  }
  estimate.slack = kSlack * (estimate.activations + estimate.head);
  estimate.library = kLibraryBytes + (half ? kKernelBytes * row_counts(config) : 0);
  return estimate;
}

}  // namespace pointwork
