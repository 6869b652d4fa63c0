// What a run is said to take, against what it took.

#include "pointwork/train/memory.h"

#include <c10/util/ThreadLocalDebugInfo.h>

#include "tests/train/cases.h"
#include "tests/train/runs.h"

namespace pointwork::test {
namespace {

constexpr double kPromised = 0.1;

// Bytes of all tensors made by this thread, as LibTorch's own allocator tells them.
class TensorBytes : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  double peak() const { return static_cast<double>(peak_); }

 private:
  int64_t now_ = 0, peak_ = 0;
};

// At sizes where tensors of one number a row do not matter.
Config sized(const NamedConfig& one, const char* precision, const char* accumulation) {
  std::vector<Override> sizes = {{"model.vocab_size", "500"},
                                 {"model.hidden_size", "96"},
                                 {"model.max_position_embeddings", "192"},
                                 {"train.batch_size", "6"},
                                 {"train.sequence_length", "192"},
                                 {"train.precision", precision},
                                 {"train.gradient_accumulation_steps", accumulation}};
  return parse_config(to_toml(one.config), one.name, sizes);
}

class EveryMemory : public testing::TestWithParam<NamedConfig> {};

TEST_P(EveryMemory, OfTensorsIsAsEstimated) {
  const ByteData data;
  for (const char* precision : {"float32", "bfloat16"}) {
    for (const char* accumulation : {"1", "2"}) {
      const Config config = sized(GetParam(), precision, accumulation);
      const MemoryEstimate estimate = training_memory(Model(config));
      const auto bytes = std::make_shared<TensorBytes>();
      {
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, bytes);
        Trainer trainer = new_trainer(config, data.dataset);
        trainer.step();
        trainer.step();
      }
      const double said = estimate.total() - estimate.library - estimate.slack;
      EXPECT_NEAR(said / bytes->peak(), 1, kPromised)
          << precision << ", " << accumulation << " micro-batches: said " << said << ", took "
          << bytes->peak() << "; weights " << estimate.weights << ", optimizer "
          << estimate.optimizer << ", activations " << estimate.activations << ", head "
          << estimate.head;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, EveryMemory, testing::ValuesIn(every_config()), name_of);

TEST(TaughtMemory, OfTensorsIsAsEstimated) {
  const ByteData data;
  for (const char* precision : {"float32", "bfloat16"}) {
    for (const int64_t width : {96, 384}) {  // a wide one's rows take more than the student's
      const Config config = sized({"dense", config_named("dense")}, precision, "1");
      Config wide = sized({"switch", config_named("switch")}, precision, "1");
      wide.model.hidden_size = width;
      const auto dtype =
          config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
      const auto teacher = std::make_shared<Model>(wide);
      initialise(*teacher, 2);
      convert(*teacher, dtype, torch::kCPU);
      double weights = 0;
      for (const Tensor& one : teacher->parameters()) weights += static_cast<double>(one.nbytes());
      const MemoryEstimate estimate = training_memory(Model(config), teacher.get());
      EXPECT_GT(estimate.teacher, 0.99 * weights);
      const auto bytes = std::make_shared<TensorBytes>();
      {
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, bytes);
        const auto student = std::make_shared<Model>(config);
        initialise(*student, 1);
        convert(*student, dtype, torch::kCPU);
        Trainer trainer(student, data.dataset, std::make_shared<Teacher>(teacher, DistillConfig{}));
        trainer.step();
        trainer.step();
      }
      const double said = estimate.total() - estimate.library - estimate.slack;
      EXPECT_NEAR(said / (bytes->peak() + weights), 1, kPromised)
          << precision << ", width " << width << ": said " << said << ", took "
          << bytes->peak() + weights << "; teacher " << estimate.teacher << ", activations "
          << estimate.activations;
    }
  }
}

// The program's own peak, mapped files not counted.
class ProgramMemory : public RunTest,
                      public testing::WithParamInterface<std::tuple<const char*, int>> {};

TEST_P(ProgramMemory, IsAsTheDryRunSays) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
  const auto [config, kind] = GetParam();
  const Words run = {"train",
                     fs::path(POINTWORK_SOURCE_DIR) / "configs" / (std::string(config) + ".toml"),
                     "--data",
                     run_world().data(),
                     "--json",
                     "--quiet",
                     "--train.steps=2",
                     "--evaluate.every=0",
                     "--evaluate.sequences=8",
                     "--checkpoint.every=0",
                     kind % 2 ? "--precision=bfloat16" : "--precision=float32",
                     kind / 2 ? "--train.gradient_accumulation_steps=2" : "--threads=2"};
  Words dry = run, real = run;
  dry.emplace_back("--dry-run");
  real.insert(real.end(), {"--out", out()});
  const Json said = Json::parse(must(dry).out);
  const Json told = json_lines_of(must(real).out).back();
  const double ratio =
      said.at("memory_bytes").get<double>() / told.at("peak_memory_bytes").get<double>();
  EXPECT_NEAR(ratio, 1, kPromised)
      << "said " << said.at("memory_parts") << ", took " << told["peak_memory_bytes"];
}

INSTANTIATE_TEST_SUITE_P(Runs, ProgramMemory,
                         testing::Combine(testing::Values("quickstart-dense", "quickstart-mod"),
                                          testing::Range(0, 4)),
                         [](const auto& info) {
                           const int kind = std::get<1>(info.param);
                           std::string name = std::get<0>(info.param);
                           name = name.substr(name.find('-') + 1);
                           name += kind % 2 ? "_bfloat16" : "_float32";
                           return name + (kind / 2 ? "_accumulated" : "");
                         });

}  // namespace
}  // namespace pointwork::test
