#include "pointwork/checkpoint/fit.h"

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/weight_files.h"
#include "pointwork/model/weightless.h"

namespace pointwork {
namespace {

[[noreturn]] void refuse(const Checkpoint& checkpoint, const std::string& why) {
  fail("checkpoint ", checkpoint.folder.string(), ": ", why);
}

}  // namespace

void each_weight(const Checkpoint& checkpoint, Model& model,
                 const std::function<void(Tensor& target, const Tensor& source)>& use) {
  TensorMap targets = weights_of(model);
  const WeightFiles saved(checkpoint.folder);
  for (auto& [name, target] : targets) {
    if (!saved.find(name))
      refuse(checkpoint,
             concat("model.safetensors has no tensor '", name, "', which the config asks for"));
    const Tensor source = saved.view(name);
    if (source.sizes() != target.sizes() || source.scalar_type() != target.scalar_type()) {
      refuse(checkpoint,
             concat("tensor '", name, "' must be ", target.toString(), " ", target.sizes(),
                    " but is ", source.toString(), " ", source.sizes()));
    }
    use(target, source);
    saved.forget(name);
  }
  for (const std::string& name : saved.names()) {
    if (!targets.count(name))
      refuse(checkpoint,
             concat("model.safetensors has a tensor '", name, "' that the config does not know"));
  }
}

int64_t check_weights(const Checkpoint& checkpoint) {
  const Weightless weightless;
  Model model(checkpoint.config);
  make_room(model, checkpoint.dtype);
  each_weight(checkpoint, model, [](Tensor&, const Tensor&) {});
  return model.parameter_count();
}

}  // namespace pointwork
