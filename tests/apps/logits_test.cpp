// logits: shapes, and the same answers as eval, under either routing.

#include <cmath>
#include <cstring>

#include "pointwork/data/loader.h"
#include "pointwork/files/safetensors.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

constexpr int64_t kLength = 32, kVocab = 300;

template <class T>
std::vector<T> values_of(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  EXPECT_NE(entry, nullptr) << name;
  if (!entry) return {};
  const auto bytes = file.bytes(*entry);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Batch windows(int64_t count) {
  const Dataset dataset(world().data());
  Batch batch{.sequences = count, .length = kLength};
  const auto rows = static_cast<size_t>(count * kLength);
  batch.input.resize(rows);
  batch.target.resize(rows);
  batch.document.resize(rows);
  batch.sequence.resize(static_cast<size_t>(count));
  batch.valid.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) dataset.read(Split::validation, i, i, batch);
  return batch;
}

double mean_loss(const std::vector<float>& logits, const std::vector<int32_t>& target) {
  double sum = 0;
  for (size_t row = 0; row < target.size(); ++row) {
    const float* one = logits.data() + row * kVocab;
    double total = 0;
    for (int64_t v = 0; v < kVocab; ++v) total += std::exp(static_cast<double>(one[v]));
    sum += std::log(total) - one[target[row]];
  }
  return sum / static_cast<double>(target.size());
}

TEST(Logits, AgreeWithEval) {
  const int64_t count = 3;
  const Batch batch = windows(count);
  Json ids = Json::array();
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(std::vector<int32_t>(batch.input.begin() + i * kLength,
                                       batch.input.begin() + (i + 1) * kLength));
  put(world().at("ids.json"), ids.dump());
  std::vector<std::vector<uint8_t>> all_entered;
  for (const std::string routing : {"inference", "training"}) {
    const fs::path out = world().at("of-" + routing + ".safetensors");
    const Json answer = answer_of({"logits", world().run(), "--ids", world().at("ids.json"),
                                   "--out", out, "--routing", routing});
    EXPECT_EQ(answer["out"], out.string());
    EXPECT_EQ(answer["tensors"].size(), 4u);
    const SafetensorsFile file(out);
    const std::string layer = "routes.layers.1.";
    EXPECT_EQ(file.find("logits")->shape, (std::vector<int64_t>{count, kLength, kVocab}));
    EXPECT_EQ(file.find("logits")->dtype, "F32");
    for (const char* name : {"entered", "weight", "decision"})
      EXPECT_EQ(file.find(layer + name)->shape, (std::vector<int64_t>{count, kLength}));

    const Json eval = answer_of({"eval", world().run(), "--data", world().data(), "--sequences",
                                 "3", "--routing", routing});
    const double loss = mean_loss(values_of<float>(file, "logits"), batch.target);
    // Both sum float32 products in other orders: each logit is off by at most about (32 + 128) ulps
    // of 10, the mean of a softmax's logarithm by twice that.
    EXPECT_NEAR(loss, eval["loss"].get<double>(), 2 * 160 * 0x1p-24 * 10);

    const auto entered = values_of<uint8_t>(file, layer + "entered");
    const auto weight = values_of<float>(file, layer + "weight");
    const auto decision = values_of<float>(file, layer + "decision");
    all_entered.push_back(entered);
    double share = 0;
    for (size_t row = 0; row < entered.size(); ++row) {
      share += entered[row];
      EXPECT_LE(entered[row], 1);
      // The causal decision is what inference follows.
      EXPECT_TRUE(routing == "training" || (entered[row] == 1) == (decision[row] > 0)) << row;
      EXPECT_TRUE(!entered[row] || std::isfinite(weight[row])) << row;
    }
    EXPECT_NEAR(share / static_cast<double>(entered.size()), eval["routed_share"].get<double>(),
                1e-12);
    if (routing == "training") {
      for (int64_t i = 0; i < count; ++i)
        EXPECT_EQ(std::count(entered.begin() + i * kLength, entered.begin() + (i + 1) * kLength, 1),
                  kLength / 4);
    }
  }
  EXPECT_NE(all_entered[0], all_entered[1]) << "the two routings are told apart";
}

TEST(Logits, RefuseWhatIsNoListOfIds) {
  const fs::path out = world().at("never.safetensors");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not JSON"},
      {"[]", "expected a list of lists"},
      {"[1, 2]", "sequence 0 must be a list"},
      {"[[]]", "sequence 0 must be a list of at least one"},
      {"[[1], [1, 2]]", "sequence 1 has 2 tokens, but the first has 1"},
      {"[[1, 300]]", "sequence 0 holds 300, expected a token id of 0 .. 299"},
      {"[[-1]]", "holds -1"},
      {"[[99999999999999999999]]", "expected a token id"},
  };
  two_at_a_time(cases.size(), [&](size_t i) {
    const auto& [content, part] = cases[i];
    const fs::path file = world().at("bad" + std::to_string(i));
    put(file, content);
    expect_refused({"logits", world().run(), "--ids", file, "--out", out}, 1, {"bad", part});
  });
  const fs::path file = world().at("long");
  std::string longest = "[[0";
  for (int64_t i = 0; i < kLength; ++i) longest += ",1";
  put(file, longest + "]]");
  expect_refused({"logits", world().run(), "--ids", file, "--out", out, "--json"}, 1,
                 {"33 tokens", "learned positions end at 32"});
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace pointwork::test
