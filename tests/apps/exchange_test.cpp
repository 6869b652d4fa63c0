// convert between layouts, and every verb on a folder of Hugging Face's as it is.

#include "pointwork/files/safetensors.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

// A small Llama, trained for two steps, and the folder it is exported to.
class Exchanged : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    put(config(),
        "[model]\nhidden_size = 32\nnum_hidden_layers = 2\nmax_position_embeddings = 32\n"
        "position_embedding = \"none\"\nnorm = \"rmsnorm\"\ntie_word_embeddings = false\n"
        "layers = [\"dense\"]\n"
        "[branch.attention]\nkind = \"attention\"\nnum_attention_heads = 4\n"
        "num_key_value_heads = 2\nrope_theta = 10000.0\n"
        "[branch.mlp]\nkind = \"mlp\"\nintermediate_size = 40\nhidden_act = \"swiglu\"\n"
        "[branch.dense]\nkind = \"chain\"\nof = [\"attention\", \"mlp\"]\n"
        "[train]\nsteps = 2\nbatch_size = 4\nsequence_length = 32\n");
    const ProgramResult trained = run_program(
        on_one_thread({"train", config(), "--data", world().data(), "--out", run(), "--quiet"}));
    ASSERT_EQ(trained.status, 0) << trained.err;
    answer_of({"convert", run(), theirs()});
  }
  static void TearDownTestSuite() { delete folder_; }

  static fs::path config() { return *folder_ / "llama.toml"; }
  static fs::path run() { return *folder_ / "run"; }
  static fs::path theirs() { return *folder_ / "theirs"; }
  static std::string logits_of(const fs::path& model, const std::string& name) {
    put(*folder_ / "ids.json", "[[5, 17, 120, 33, 8], [1, 2, 3, 4, 5]]");
    const fs::path out = *folder_ / (name + ".safetensors");
    answer_of({"logits", model, "--ids", *folder_ / "ids.json", "--out", out, "--force"});
    return read_file(out);
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* Exchanged::folder_ = nullptr;

TEST_F(Exchanged, IsAFolderOfTheirs) {
  const Json json = Json::parse(read_file(theirs() / "config.json"));
  EXPECT_EQ(json["model_type"], "llama");
  EXPECT_EQ(json["architectures"], Json::parse(R"(["LlamaForCausalLM"])"));
  EXPECT_EQ(json["hidden_size"], 32);
  EXPECT_EQ(json["vocab_size"], 300);
  EXPECT_EQ(json["eos_token_id"],
            Json::parse(read_file(theirs() / "generation_config.json"))["eos_token_id"]);
  EXPECT_TRUE(fs::exists(theirs() / "tokenizer.json"));
  const SafetensorsFile weights(theirs() / "model.safetensors");
  ASSERT_NE(weights.find("model.layers.1.self_attn.k_proj.weight"), nullptr);
  EXPECT_EQ(weights.find("model.layers.1.self_attn.k_proj.weight")->shape,
            (std::vector<int64_t>{16, 32}));
  const Json inspected = answer_of({"inspect", theirs()});
  EXPECT_EQ(inspected["kind"], "Hugging Face folder");
  EXPECT_EQ(inspected["valid"], true);
  EXPECT_EQ(inspected["model_type"], "llama");
  EXPECT_EQ(inspected["tensors"].size(), weights.tensors().size());
  EXPECT_EQ(answer_of({"verify", theirs()})["valid"], true);
}

TEST_F(Exchanged, EveryVerbTakesItAsItIs) {
  EXPECT_EQ(logits_of(theirs(), "theirs"), logits_of(run(), "ours"));
  const auto sample = [](const fs::path& model) {
    Json json = answer_of(
        {"sample", model, "--prompt", "the quick", "--temperature", "0", "--max-new-tokens", "12"});
    return json["text"].get<std::string>();
  };
  EXPECT_EQ(sample(theirs()), sample(run()));
  const auto loss = [](const fs::path& model) {
    return answer_of({"eval", model, "--data", world().data(), "--sequences", "4"})["loss"];
  };
  EXPECT_EQ(loss(theirs()), loss(run()));
  const ProgramResult trained =
      run_program(on_one_thread({"train", theirs() / "pointwork.toml", "--data", world().data(),
                                 "--out", *folder_ / "more", "--init", theirs(), "--quiet"}));
  EXPECT_EQ(trained.status, 0) << trained.err;
}

TEST_F(Exchanged, ATokenizersSettingsOutliveTrainingAndRewriting) {
  const fs::path chat = *folder_ / "chat", tuned = *folder_ / "tuned", mod = *folder_ / "chat-mod";
  fs::copy(theirs(), chat, fs::copy_options::recursive);
  put(chat / "tokenizer_config.json", R"({"model_max_length": 32})");
  put(chat / "chat_template.jinja", "{{ messages[0].content }}\n");
  const ProgramResult trained =
      run_program(on_one_thread({"train", chat / "pointwork.toml", "--data", world().data(),
                                 "--out", tuned, "--init", chat, "--quiet"}));
  ASSERT_EQ(trained.status, 0) << trained.err;
  answer_of({"convert", tuned, *folder_ / "chat-back"});
  answer_of({"convert", chat, mod, "--to-mod", "0.5"});
  for (const char* file : {"tokenizer_config.json", "chat_template.jinja"}) {
    EXPECT_EQ(read_file(*folder_ / "chat-back" / file), read_file(chat / file)) << file;
    EXPECT_EQ(read_file(mod / file), read_file(chat / file)) << file;
  }
  EXPECT_EQ(answer_of({"verify", mod})["valid"], true);
}

TEST_F(Exchanged, WithoutATokenizerIdsStillWork) {
  const fs::path bare = *folder_ / "bare";
  fs::copy(theirs(), bare, fs::copy_options::recursive);
  fs::remove(bare / "tokenizer.json");
  EXPECT_EQ(logits_of(bare, "bare"), logits_of(run(), "ours"));
  expect_refused({"sample", bare, "--prompt", "the"}, 1, {"bare has no tokenizer.json"});
  put(bare / "tokenizer.json", R"({"version": "1.0", "model": {"type": "WordPiece"}})");
  EXPECT_EQ(logits_of(bare, "bare"), logits_of(run(), "ours"));
  expect_refused({"sample", bare, "--prompt", "the"}, 1, {"tokenizer.json"});
}

TEST_F(Exchanged, ConvertsBackAndForth) {
  const fs::path back = *folder_ / "back", half = *folder_ / "half";
  const Json made = answer_of({"convert", theirs(), back});
  EXPECT_EQ(made["model_type"], "pointwork");
  EXPECT_EQ(answer_of({"verify", back})["valid"], true);
  const fs::path checkpoint = run() / "checkpoints" / "step-2";
  for (const char* file : {"model.safetensors", "config.json", "pointwork.toml", "tokenizer.json",
                           "generation_config.json"})
    EXPECT_EQ(read_file(back / file), read_file(checkpoint / file)) << file;
  const Json shards = answer_of({"convert", theirs(), half, "--format", "huggingface", "--dtype",
                                 "bfloat16", "--shard-size", "10KB"});
  EXPECT_EQ(shards["model_type"], "llama");
  EXPECT_GT(shards["files"], 1);
  EXPECT_EQ(answer_of({"inspect", half})["dtype"], "BF16");
  expect_refused({"convert", theirs(), back}, 1, {"back exists already"});
  expect_refused({"convert", theirs(), *folder_ / "x", "--shard-size", "much"}, 2,
                 {"--shard-size must be a number above 0 with KB, MB or GB", "'much'"});
  expect_refused({"convert", theirs(), *folder_ / "x", "--dtype", "int8"}, 2, {"--dtype must be"});
  expect_refused({"convert", theirs(), *folder_ / "x", "--tokenizer", "y"}, 2,
                 {"--tokenizer is for"});
  EXPECT_FALSE(fs::exists(*folder_ / "x"));
}

TEST_F(Exchanged, WhatNoClassComputesIsOurs) {
  const fs::path out = *folder_ / "mod";
  const Json made = answer_of({"convert", world().run(), out});
  EXPECT_EQ(made["model_type"], "pointwork");
  for (const char* file : {"model.safetensors", "config.json", "pointwork.toml"})
    EXPECT_EQ(read_file(out / file), read_file(world().checkpoint() / file)) << file;
  EXPECT_EQ(answer_of({"verify", out})["valid"], true);
}

// A model that others trained, whose words are known.
TEST(Stories, AreToldWordForWord) {
  const fs::path stories = data_folder() / "stories260k";
  if (data_folder().empty() || !fs::exists(stories)) GTEST_SKIP() << "no stories260k";
  const TemporaryFolder folder;
  answer_of({"convert", stories / "stories260K.bin", folder / "stories"});
  const auto told = [&](const fs::path& model) {
    const Json json = answer_of({"sample", model, "--temperature", "0", "--max-new-tokens", "200"});
    return json["text"].get<std::string>();
  };
  std::string want = read_file(stories / "expected-greedy-200.txt");
  EXPECT_EQ(told(folder / "stories"), want);
  EXPECT_EQ(answer_of({"convert", folder / "stories", folder / "theirs"})["model_type"], "llama");
  EXPECT_EQ(told(folder / "theirs"), want);
}

}  // namespace
}  // namespace pointwork::test
