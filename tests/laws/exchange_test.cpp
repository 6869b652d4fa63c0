// Law 8: export to Hugging Face and back is the identity, byte for byte: as the class that computes
// the same, and where there is none as model_type "pointwork".

#include <gtest/gtest.h>

#include "pointwork/checkpoint/exchange.h"
#include "pointwork/files/file.h"
#include "tests/checkpoint/hugging_face_folders.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

// What a class of theirs can say, each with keys of training that it cannot.
std::vector<NamedConfig> all_that_there_are() {
  std::vector<NamedConfig> all = every_config();
  for (const std::string& type : class_types()) {
    Config config = config_of(class_json(type), type);
    config.train.steps = 17;
    config.optimizer.weight_decay = 0.03;
    all.push_back({"class_" + type, config});
  }
  return all;
}

class Law8 : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Laws, Law8, ::testing::ValuesIn(all_that_there_are()), name_of);

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

TEST_P(Law8, ExportToHuggingFaceAndBackIsTheIdentity) {
  const TemporaryFolder folder;
  const std::string name = GetParam().name;
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const std::string at = torch::toString(dtype);
    auto model = std::make_shared<Model>(GetParam().config);
    initialise(*model, 3);
    convert(*model, dtype, torch::kCPU);
    save_checkpoint(folder / at, *model,
                    {.step = kSettled, .dataset_hash = std::string(32, 'd'), .end_of_text = 7});
    const Checkpoint ours = open_checkpoint(folder / at);
    const ExchangeResult out =
        exchange(ours, folder / (at + "-theirs"), {.format = ModelFormat::hugging_face});
    if (name.starts_with("class_")) {
      EXPECT_NE(out.model_type, "pointwork");
      const bool is_llama = name == "class_mistral";
      EXPECT_EQ("class_" + out.model_type, is_llama ? "class_llama" : name);
    }
    const Checkpoint theirs = open_checkpoint(folder / (at + "-theirs"));
    EXPECT_EQ(theirs.foreign != nullptr, out.model_type != "pointwork");
    EXPECT_EQ(theirs.config, ours.config);
    EXPECT_EQ(theirs.end_tokens, std::vector<int32_t>{7});
    exchange(theirs, folder / (at + "-back"), {.format = ModelFormat::pointwork});
    const auto got = files_of(folder / (at + "-back")), want = files_of(folder / at);
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [file, content] : want) EXPECT_EQ(got.at(file) == content, true) << file;
    exchange(open_checkpoint(folder / (at + "-back")), folder / (at + "-again"),
             {.format = ModelFormat::hugging_face});
    EXPECT_TRUE(files_of(folder / (at + "-again")) == files_of(folder / (at + "-theirs")));
  }
}

}  // namespace
}  // namespace pointwork::test
