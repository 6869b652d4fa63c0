#pragma once
// Distillation (arXiv:2101.03961 §4.2): a model that has been trained teaches this one.

#include <memory>
#include <string>
#include <vector>

#include "pointwork/checkpoint/checkpoint.h"
#include "pointwork/data/loader.h"
#include "pointwork/ops/cross_entropy.h"
#include "pointwork/train/evaluate.h"
#include "pointwork/train/objective.h"

namespace pointwork {

// The checkpoint that config.distill names, fit to teach: of the student's vocabulary and length of
// context, and (where `tokenizer_hash` is not "") tokenizer. Error naming what differs. `note` as
// in open_checkpoint().
Checkpoint open_teacher(const Config& student, const std::string& tokenizer_hash,
                        const std::function<void(const std::string&)>& note = {});

// Its weights do not change, and it has no other state: what it says of a batch depends on the
// batch alone.
class Teacher {
 public:
  // On `device`, in the student's precision, in which their logits are compared.
  Teacher(const Checkpoint& checkpoint, const Config& student, torch::Device device);
  Teacher(std::shared_ptr<Model> model, const DistillConfig& how, int64_t step = 0);

  // What cross_entropy() takes for these rows.
  TaughtBy targets(const BatchTensors& batch);
  Evaluation evaluate(const Dataset& dataset, EvaluateOptions options);

  const Model& model() const { return *model_; }
  const std::string& name() const { return name_; }  // "RUN/checkpoints/step-120"
  const std::string& hash() const { return hash_; }  // of its manifest: a resume must find it again

 private:
  Context context() const;

  std::shared_ptr<Model> model_;
  DistillConfig how_;
  int64_t step_;
  std::string name_, hash_;
};

// A student's parameters beside the teacher's.
struct Inheritance {
  int64_t taken = 0;                 // parameters, each a tensor
  double taken_values = 0, all = 0;  // numbers in them, and in all of the student's
  std::vector<std::string> without;  // of the student's, those that the teacher has not
};

// Copies every parameter whose name and shape the teacher has, those of experts excepted.
Inheritance inherit(Model& student, const Model& teacher);
std::string told(const Inheritance& inheritance);  // one line, for people

// Share of the teacher's gain over the dense model that the student keeps, (dense − student) /
// (dense − teacher); NaN where the teacher has none.
double gain_kept(double dense_loss, double student_loss, double teacher_loss);

}  // namespace pointwork
