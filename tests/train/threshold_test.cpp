// A threshold is training state that no gradient moves.

#include <gtest/gtest.h>

#include "pointwork/nn/routed.h"
#include "pointwork/route/depth_router.h"
#include "pointwork/train/trainer.h"
#include "tests/data/cases.h"
#include "tests/support/models.h"

namespace pointwork::test {
namespace {

std::vector<float> values(const Tensor& x) {
  return {x.data_ptr<float>(), x.data_ptr<float>() + x.numel()};
}

TEST(Threshold, AMaskedStepLeavesItAsItWas) {
  const TemporaryFolder folder;
  prepare({.inputs = {write(folder / "in.jsonl", json_lines(200))},
           .out = folder / "data",
           .source = {},
           .progress = {}},
          byte_encoder());
  const Dataset dataset(folder / "data");
  Config config = config_named("mod_threshold");
  config.model.vocab_size = 257;
  config.model.tie_word_embeddings = false;
  const auto model = std::make_shared<Model>(config);
  initialise(*model, 1);
  Trainer trainer(model, dataset);
  const auto& routed = dynamic_cast<const Routed&>(*model->layers()[1]);
  const auto& router = dynamic_cast<const DepthRouter&>(*routed.router);
  const auto step = [&] { return trainer.read(trainer.step()).skipped; };

  EXPECT_FALSE(step());
  const auto first = values(router.threshold);
  EXPECT_EQ(first[1], 1);
  const Tensor head = model->untied_head.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    model->untied_head.fill_(INFINITY);
  }
  // Its scores were sound, but its loss is none.
  EXPECT_TRUE(step());
  EXPECT_EQ(values(router.threshold), first);
  {
    const torch::NoGradGuard no_grad;
    model->untied_head.copy_(head);
  }
  EXPECT_FALSE(step());
  EXPECT_NE(values(router.threshold), first);
  EXPECT_EQ(router.threshold[1].item<float>(), 1);
}

}  // namespace
}  // namespace pointwork::test
