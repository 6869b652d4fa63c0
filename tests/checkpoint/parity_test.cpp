// Tiny models of every class of Hugging Face's transformers, and what that
// computes with them (tools/huggingface_cases.py): the same logits, greedy
// tokens and gradients here. POINTWORK_PARITY names another folder of such
// cases (`make parity`).

#include <cstdlib>

#include "pointwork/checkpoint/hugging_face.h"
#include "pointwork/decode/generate.h"
#include "tests/checkpoint/cases.h"

namespace pointwork::test {
namespace {

fs::path cases_folder() {
  if (const char* folder = std::getenv("POINTWORK_PARITY")) return folder;
  return fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden" / "huggingface";
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(cases_folder()))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

const std::string kGradient = "gradient.";

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = cases_folder() / GetParam();
    expected_ = load_tensors(folder_ / "expected.safetensors");
  }

  std::shared_ptr<Model> load(torch::Dtype dtype) const {
    return load_model(open_checkpoint(folder_), torch::kCPU, dtype);
  }

  // [B, S, V] in the model's own dtype.
  Tensor logits(Model& model) const {
    const Tensor& ids = expected_.at("ids");
    Context ctx{.rows = uniform_rows(ids.size(0), ids.size(1), torch::kCPU),
                .routing = Routing::inference};
    const Tensor hidden = model.forward(ids.flatten().to(torch::kInt32), ctx).hidden;
    return torch::matmul(hidden, model.head().t()).view({ids.size(0), ids.size(1), -1});
  }

  std::vector<int32_t> greedy(Model& model) const {
    const auto list = [&](const std::string& name) {
      return elements<int32_t>(expected_.at(name).to(torch::kInt32));
    };
    const int64_t count = expected_.at("greedy").size(0);
    const GenerateOptions options{.sampler = {.temperature = 0}, .max_new_tokens = count};
    return generate(model, {list("prompt")}, options).front().tokens;
  }

  std::vector<int32_t> expected_greedy() const {
    return elements<int32_t>(expected_.at("greedy").to(torch::kInt32));
  }

  // Roundings one after another on the way from an embedding to a logit: of a
  // layer the sums of four projections, of a head's products, of keys, and some
  // twenty of norms, rotation, softmax, activation and routing; then the final
  // norm and the head.
  double roundings(const Model& model) const {
    const ModelConfig& config = model.config().model;
    double widest = 0;
    for (const auto& item : model.named_parameters()) {
      if (item.value().dim() > 1)
        widest = std::max(widest, static_cast<double>(item.value().size(-1)));
    }
    const auto length = static_cast<double>(expected_.at("ids").size(1));
    return static_cast<double>(config.num_hidden_layers) * (6 * widest + length + 20) + widest + 10;
  }

  // Each rounding moves a logit by at most one spacing of the largest there is.
  void expect_near(const std::string& what, const Tensor& got, const Tensor& want, double roundings,
                   double epsilon) const {
    const double bound = roundings * epsilon * std::max(1.0, largest(want));
    expect_within(what, got, want, torch::full_like(want, bound));
  }

  fs::path folder_;
  TensorMap expected_;
};

TEST_P(Parity, OfLogitsAndGreedyTokens) {
  const torch::NoGradGuard no_grad;
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const double epsilon = dtype == torch::kFloat64 ? 0x1p-52 : 0x1p-23;
    const auto model = load(dtype);
    expect_near(torch::toString(dtype), logits(*model), expected_.at("logits"), roundings(*model),
                epsilon);
    EXPECT_EQ(greedy(*model), expected_greedy()) << torch::toString(dtype);
  }
}

// Backward goes the way twice.
TEST_P(Parity, OfGradients) {
  const auto model = load(torch::kFloat64);
  const Tensor made = logits(*model), ids = expected_.at("ids");
  const int64_t vocabulary = made.size(-1), length = ids.size(1);
  const Tensor loss = torch::cross_entropy_loss(
      made.slice(1, 0, length - 1).reshape({-1, vocabulary}), ids.slice(1, 1).reshape({-1}));
  expect_near("loss", loss.detach(), expected_.at("loss"), roundings(*model), 0x1p-52);
  loss.backward();

  const HuggingFaceModel theirs(folder_);
  const std::string prefix(theirs.names().prefix);
  const auto parameters = model->named_parameters();
  size_t compared = 0;
  for (const TensorMatch& match : theirs.matches()) {
    for (size_t part = 0; part < match.parts.size(); ++part) {
      for (const std::string& spelt : {match.parts[part].name, prefix + match.parts[part].name}) {
        const auto want = expected_.find(kGradient + spelt);
        if (want == expected_.end()) continue;
        const Tensor* ours = parameters.find(match.ours);
        ASSERT_TRUE(ours && ours->grad().defined()) << match.ours;
        expect_near(
            spelt,
            piece_of_theirs(match, part, ours->grad().contiguous()).reshape(want->second.sizes()),
            want->second, 2 * roundings(*model), 0x1p-52);
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, std::count_if(expected_.begin(), expected_.end(), [](const auto& item) {
              return item.first.starts_with(kGradient);
            }));
}

INSTANTIATE_TEST_SUITE_P(Cases, Parity, testing::ValuesIn(case_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace pointwork::test
