#include "pointwork/train/distill.h"

#include <cmath>
#include <set>

#include "pointwork/base/check.h"
#include "pointwork/nn/mlp.h"

namespace pointwork {
namespace {

constexpr size_t kNamesTold = 6;

torch::Dtype dtype_for(const Config& config) {
  return config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
}

// Names of all that an expert alone has.
std::set<std::string> of_experts(const Model& model) {
  std::set<std::string> names;
  for (const auto& module : model.named_modules("", false)) {
    const auto* mlp = dynamic_cast<const Mlp*>(module.value().get());
    if (!mlp || mlp->experts() == 0) continue;
    for (const auto& item : mlp->named_parameters()) names.insert(module.key() + "." + item.key());
  }
  return names;
}

}  // namespace

Checkpoint open_teacher(const Config& student, const std::string& tokenizer_hash,
                        const std::function<void(const std::string&)>& note) {
  Checkpoint teacher = open_checkpoint(student.distill.teacher, note);
  const std::string name = concat("teacher ", teacher.folder.string());
  const ModelConfig &its = teacher.config.model, &own = student.model;
  check(tokenizer_hash.empty() || teacher.tokenizer_hash == tokenizer_hash, name,
        " was trained with another tokenizer than the data set has, so its probabilities are of "
        "other tokens");
  check(its.vocab_size == own.vocab_size, name, " has a vocabulary of ", its.vocab_size,
        " tokens, the student (model.vocab_size) of ", own.vocab_size);
  check(its.max_position_embeddings == own.max_position_embeddings, name, " has a context of ",
        its.max_position_embeddings, " tokens, the student (model.max_position_embeddings) of ",
        own.max_position_embeddings);
  check(its.max_position_embeddings >= student.train.sequence_length, name, " has a context of ",
        its.max_position_embeddings,
        " tokens, fewer than train.sequence_length = ", student.train.sequence_length);
  return teacher;
}

Teacher::Teacher(const Checkpoint& checkpoint, const Config& student, torch::Device device)
    : Teacher(load_model(checkpoint, device, dtype_for(student)), student.distill,
              checkpoint.step) {
  name_ = checkpoint.folder.string();
  hash_ = hash_of(checkpoint);
}

Teacher::Teacher(std::shared_ptr<Model> model, const DistillConfig& how, int64_t step)
    : model_(std::move(model)), how_(how), step_(step) {
  for (Tensor& parameter : model_->parameters()) parameter.set_requires_grad(false);
}

// Causal and dropless, as a served model: selection as in training looks at later tokens, so a
// teacher that chose that way would say what it has seen; and with a capacity its words on one
// sequence would depend on the others of the batch.
Context Teacher::context() const {
  return {.routing = Routing::inference,
          .training = false,
          .step = step_,
          .seed = static_cast<uint64_t>(model_->config().train.seed)};
}

TaughtBy Teacher::targets(const BatchTensors& batch) {
  const torch::NoGradGuard no_grad;
  Context ctx = context();
  ctx.rows = batch.rows;
  return {.hidden = model_->forward(batch.input, ctx).hidden,
          .head = model_->head(),
          .temperature = how_.temperature,
          .hard_weight = how_.hard_weight,
          .soft_weight = how_.soft_weight};
}

Evaluation Teacher::evaluate(const Dataset& dataset, EvaluateOptions options) {
  const Context ctx = context();
  options.routing = ctx.routing;
  options.step = ctx.step;
  options.seed = ctx.seed;
  return pointwork::evaluate(*model_, dataset, options);
}

Inheritance inherit(Model& student, const Model& teacher) {
  const torch::NoGradGuard no_grad;
  std::set<std::string> experts = of_experts(student);
  experts.merge(of_experts(teacher));
  const auto theirs = teacher.named_parameters();
  Inheritance result;
  for (auto& item : student.named_parameters()) {
    const auto values = static_cast<double>(item.value().numel());
    result.all += values;
    const Tensor* source = experts.count(item.key()) ? nullptr : theirs.find(item.key());
    if (!source || source->sizes() != item.value().sizes()) {
      result.without.push_back(item.key());
      continue;
    }
    item.value().copy_(*source);
    ++result.taken;
    result.taken_values += values;
  }
  return result;
}

std::string told(const Inheritance& i) {
  std::string names;
  for (size_t n = 0; n < i.without.size() && n < kNamesTold; ++n)
    names += (n ? ", " : "") + i.without[n];
  if (i.without.size() > kNamesTold)
    names += concat(" and ", i.without.size() - kNamesTold, " more");
  return concat("the student starts from ", i.taken, " of the teacher's weights, ",
                std::lround(100 * i.taken_values / i.all), " % of its parameters",
                names.empty() ? "" : "; anew: " + names);
}

double gain_kept(double dense_loss, double student_loss, double teacher_loss) {
  const double gain = dense_loss - teacher_loss;
  return gain > 0 ? (dense_loss - student_loss) / gain : NAN;
}

}  // namespace pointwork
