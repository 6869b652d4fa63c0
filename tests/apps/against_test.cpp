// inspect A --against B, and what else inspect tells apart.

#include "pointwork/files/safetensors.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

const fs::path kGolden = fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden";

void save(const fs::path& path,
          const std::vector<std::pair<std::string, std::vector<float>>>& all) {
  std::vector<TensorView> views;
  for (const auto& [name, values] : all)
    views.push_back(
        {name, "F32", {static_cast<int64_t>(values.size())}, std::as_bytes(std::span(values))});
  write_safetensors(path, views);
}

TEST(Against, TellsWhereWeightsDiffer) {
  const TemporaryFolder folder;
  const fs::path a = folder / "a.safetensors", b = folder / "b.safetensors";
  save(a, {{"first", {1, 2}}, {"near", {1, 2}}, {"far", {4, 8}}, {"same", {1}}});
  save(b, {{"near", {1, 2.5}}, {"far", {4, 6}}, {"same", {1}}, {"second", {3}}});
  const ProgramResult same = run_program({"inspect", a, "--against", a});
  EXPECT_EQ(same.status, 0) << same.err;
  expect_in(same.out, {"the same", "equal  4"});
  EXPECT_EQ(same.err, "");

  expect_refused({"inspect", a, "--against", b, "--json"}, 1,
                 {"a.safetensors and ", "b.safetensors differ", "only in the first"});
  const Json json = Json::parse(run_program({"inspect", a, "--against", b, "--json"}).out);
  EXPECT_EQ(json["kind"], "comparison");
  EXPECT_EQ(json["only_in_first"], Json::array({"first"}));
  EXPECT_EQ(json["only_in_second"], Json::array({"second"}));
  EXPECT_EQ(json["equal"], 1);
  ASSERT_EQ(json["differing"].size(), 2u);
  EXPECT_EQ(json["differing"][0]["name"], "far");
  EXPECT_EQ(json["differing"][0]["largest_difference"], 2);
  EXPECT_EQ(json["differing"][0]["largest_relative_difference"], 0.25);
  EXPECT_EQ(json["differing"][0]["differing"], 1);
  EXPECT_EQ(json["differing"][1]["name"], "near");
  expect_refused({"inspect", a, "--against", folder / "none"}, 1, {"none", "no such file"});
}

TEST(Against, TakesFoldersRunsAndShards) {
  const fs::path cases = kGolden / "huggingface";
  const ProgramResult shards =
      run_program({"inspect", cases / "llama_sharded", "--against", cases / "llama_sharded"});
  EXPECT_EQ(shards.status, 0) << shards.err;
  const ProgramResult other = run_program(
      {"inspect", cases / "llama_sharded", "--against", cases / "llama_grouped", "--json"});
  EXPECT_EQ(other.status, 1);
  const Json json = Json::parse(other.out);
  EXPECT_EQ(json["only_in_first"].size() + json["only_in_second"].size(), 0u);
  EXPECT_GT(json["differing"].size(), 10u);
  const ProgramResult run = run_program({"inspect", world().run(), "--against", world().run()});
  EXPECT_EQ(run.status, 0) << run.err;
}

TEST(Inspect, KnowsTokenizersOfEveryKind) {
  const TemporaryFolder folder;
  const fs::path model = kGolden / "tokenizers" / "unigram.model";
  fs::copy(model, folder / "spiece.model");
  for (const fs::path& path : {model, folder.path()}) {
    const Json json = Json::parse(run_program({"inspect", path, "--json"}).out);
    EXPECT_EQ(json["kind"], "tokenizer");
    EXPECT_EQ(json["valid"], true);
    EXPECT_EQ(json["vocab_size"], 152);
  }
  put(folder / "cut.model", read_file(model).substr(0, 100));
  expect_refused({"inspect", folder / "cut.model"}, 1, {"cut.model"});
  put(folder / "pytorch_model.bin", std::string("PK\3\4\0\0\10\10", 8));
  expect_refused({"inspect", folder / "pytorch_model.bin"}, 1, {"pickle", "save_pretrained"});
  put(folder / "noise.bin", "noise");
  expect_refused({"inspect", folder / "noise.bin"}, 1, {"noise.bin"});
}

// What opening passes over (ids still mean something) verification names.
TEST(Verify, NamesATokenizerThatIsNone) {
  const TemporaryFolder folder;
  fs::copy(kGolden / "huggingface" / "llama_grouped", folder / "copy");
  EXPECT_EQ(run_program({"verify", folder / "copy"}).status, 0);
  put(folder / "copy" / "tokenizer.json", "{}");
  expect_refused({"verify", folder / "copy"}, 1, {"tokenizer.json"});
}

TEST(Inspect, TellsLlama2cFilesApart) {
  const fs::path data = data_folder() / "stories260k";
  if (!fs::exists(data / "stories260K.bin")) GTEST_SKIP() << "stories260k is not there";
  EXPECT_EQ(Json::parse(run_program({"inspect", data / "stories260K.bin", "--json"}).out)["kind"],
            "llama2.c checkpoint");
  const Json tokenizer = Json::parse(run_program({"inspect", data / "tok512.bin", "--json"}).out);
  EXPECT_EQ(tokenizer["kind"], "tokenizer");
  EXPECT_EQ(tokenizer["vocab_size"], 512);
}

}  // namespace
}  // namespace pointwork::test
