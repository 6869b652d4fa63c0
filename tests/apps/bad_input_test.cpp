// Bad input: one line that names the thing, status 1, and nothing half-written.

#include <unistd.h>

#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

void flip_bit(const fs::path& path) {
  std::string content = read_file(path);
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 4);
  put(path, content);
}

class BadInput : public testing::Test {
 protected:
  Words train(const fs::path& config, const fs::path& data, const Words& more = {}) const {
    Words all = {"train", config, "--data", data, "--out", out_};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // A copy of part of the world, to be damaged.
  fs::path copy(const fs::path& from) const {
    const fs::path to = folder_ / "copy";
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
    return to;
  }
  // A verb that reads a checkpoint refuses it and names `parts`; inspect says so too.
  void expect_bad_checkpoint(const fs::path& path, const Words& parts, const std::string& verb) {
    const fs::path logits = folder_ / "logits.safetensors";
    Words arguments = {verb, path, "--json"};
    if (verb == "eval") arguments.insert(arguments.end(), {"--data", world().data()});
    if (verb == "logits")
      arguments.insert(arguments.end(), {"--ids", "none.json", "--out", logits});
    expect_refused(arguments, 1, parts);
    EXPECT_FALSE(fs::exists(logits));
    const ProgramResult inspect = run_program({"inspect", path, "--json"});
    EXPECT_EQ(inspect.status, 1);
    const Json json = Json::parse(inspect.out);
    EXPECT_EQ(json["kind"], "checkpoint");
    EXPECT_EQ(json["valid"], false);
    EXPECT_EQ(json["error"]["verb"], "inspect");
    expect_in(json["problems"].dump(), {parts.back()});
  }

  TemporaryFolder folder_;
  const fs::path out_ = folder_ / "run";
};

TEST_F(BadInput, Configurations) {
  const std::string tiny = tiny_config("\"dense\", \"mod\"");
  struct Case {
    std::string content;
    Words parts;
  };
  std::vector<Case> cases;
  const auto refused = [&](const std::string& content, const Words& parts) {
    cases.push_back({content, parts});
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = tiny;
    return text.replace(text.find(from), from.size(), to);
  };
  refused(with("hidden_size", "hiden_size"), {"some.toml", "model.hiden_size", "hidden_size"});
  refused(with("steps = 120", "steps = \"many\""), {"train.steps", "whole number", "many"});
  refused(with("hidden_size = 32", "hidden_size = 0"), {"model.hidden_size", "found 0"});
  refused(with("hidden_size = 32", "hidden_size = 33"), {"num_attention_heads", "33"});
  refused(with("= 0.25", "= 0"), {"capacity", "above 0 and at most 1", "found 0"});
  refused(with("= 0.25", "= 1.5"), {"capacity", "above 0 and at most 1", "found 1.5"});
  refused(with("= 0.25", "= nan"), {"capacity", "nan"});
  refused(with("\"mod\"", "\"moe\""), {"moe"});
  refused(with("[train]", "[train"), {"some.toml", "line"});
  refused("", {"some.toml"});
  refused(std::string("\0\1\2\xFF", 4), {"some.toml"});
  two_at_a_time(cases.size(), [&](size_t i) {
    const fs::path config = folder_ / std::to_string(i) / "some.toml";
    put(config, cases[i].content);
    expect_refused(train(config, world().data()), 1, cases[i].parts);
  });
  for (const char* capacity : {"0", "1.01", "x"})
    expect_refused(train(world().mod_config(), world().data(),
                         {std::string("--branch.mod.route.capacity=") + capacity, "--json"}),
                   1, {"--branch.mod.route.capacity", capacity});
  expect_refused(train(folder_ / "none.toml", world().data()), 1, {"none.toml: no such config"});
  expect_refused(train(folder_.path(), world().data()), 1, {"folder"});
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(BadInput, SizesBeyondTheMachine) {
  // Told before the first step, whatever the estimate needs.
  expect_refused(train(world().mod_config(), world().data(),
                       {"--model.hidden_size=65536", "--model.num_hidden_layers=400"}),
                 1, {"memory"});
  expect_refused({"bench", "step", world().at("configs/mod.toml"), "--model.hidden_size=65536",
                  "--model.num_hidden_layers=400", "--json"},
                 1, {"out of memory"});
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(BadInput, DataSets) {
  const fs::path config = world().mod_config();
  const auto refused = [&](const fs::path& data, const Words& parts) {
    expect_refused(train(config, data), 1, parts);
  };
  refused(folder_ / "none", {"none: no such data set"});
  refused(world().corpus(), {"corpus.txt", "data set"});
  fs::create_directory(folder_ / "empty");
  refused(folder_ / "empty", {"empty", "no dataset.json"});
  refused(world().run(), {"mod", "no data set"});
  refused(world().tokenizer(), {"tokenizer", "no data set"});

  fs::path data = copy(world().data());
  fs::resize_file(data / "train-00000.tokens", 100);
  refused(data, {"train-00000.tokens", "100 bytes"});
  expect_refused({"eval", world().run(), "--data", data, "--json"}, 1, {"train-00000.tokens"});
  expect_refused({"verify", data, "--json"}, 1, {"train-00000.tokens"});
  fs::remove(data / "train-00000.tokens");
  refused(data, {"train-00000.tokens", "No such file"});
  data = copy(world().data());
  put(data / "dataset.json", "{");
  refused(data, {"dataset.json"});
  put(data / "dataset.json", std::string("\0\xFF", 2));
  refused(data, {"dataset.json"});
  // Hashes are read where asked for, not at every start.
  data = copy(world().data());
  flip_bit(data / "train-00000.tokens");
  expect_refused({"verify", data, "--json"}, 1, {"train-00000.tokens", "hash"});
  expect_refused({"inspect", data}, 1, {"train-00000.tokens", "hash"});

  // Too little of it.
  expect_refused(
      train(config, world().data(),
            {"--model.max_position_embeddings=100000", "--train.sequence_length=100000"}),
      1, {"training tokens, too few for one sequence of 100000"});
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(BadInput, TokenizersThatDoNotMatch) {
  const fs::path other = folder_ / "tokenizer", data = folder_ / "data";
  ASSERT_EQ(run_program({"tokenizer", "train", world().corpus(), "--vocab-size", "290", "--out",
                         other, "--quiet"})
                .status,
            0);
  ASSERT_EQ(run_program({"prepare", world().corpus(), "--tokenizer", other, "--out", data,
                         "--validation", "0.1", "--quiet"})
                .status,
            0);
  expect_refused({"eval", world().run(), "--data", data, "--json"}, 1, {"another tokenizer"});
  expect_refused(train(world().mod_config(), data,
                       {"--resume", world().checkpoint(), "--model.vocab_size=" + kVocabulary}),
                 1, {"another tokenizer"});
  expect_refused(train(world().mod_config(), world().data(), {"--model.vocab_size=290"}), 1,
                 {"ids up to 299", "model.vocab_size is 290"});
  // The tokenizer beside the tokens is another than they were made with.
  fs::copy_file(world().tokenizer() / "tokenizer.json", data / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  expect_refused(train(world().mod_config(), data), 1, {"tokenizer.json is not the tokenizer"});
  expect_refused({"verify", data}, 1, {"tokenizer"});
  const fs::path checkpoint = copy(world().checkpoint());
  fs::copy_file(other / "tokenizer.json", checkpoint / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  expect_bad_checkpoint(checkpoint, {"tokenizer.json"}, "sample");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(BadInput, DamagedCheckpoints) {
  fs::path one = copy(world().checkpoint());
  flip_bit(one / "model.safetensors");
  expect_bad_checkpoint(one, {"copy", "model.safetensors is damaged"}, "sample");
  one = copy(world().checkpoint());
  fs::resize_file(one / "model.safetensors", 1000);
  expect_bad_checkpoint(one, {"copy", "model.safetensors has 1000 bytes"}, "eval");
  fs::copy_file(world().run() / "checkpoints" / "step-60" / "model.safetensors",
                one / "model.safetensors", fs::copy_options::overwrite_existing);
  expect_bad_checkpoint(one, {"copy", "model.safetensors is damaged"}, "logits");
  fs::remove(one / "model.safetensors");
  expect_bad_checkpoint(one, {"copy", "model.safetensors is missing"}, "verify");
  one = copy(world().checkpoint());
  fs::remove(one / "manifest.json");
  expect_bad_checkpoint(one, {"copy", "manifest.json is missing"}, "sample");
}

TEST_F(BadInput, ARunFallsBackToItsNewestValidCheckpoint) {
  const fs::path run = copy(world().run());
  flip_bit(run / "checkpoints" / "step-120" / "pointwork.toml");
  const ProgramResult sample =
      run_program(on_one_thread({"sample", run, "--prompt", "a", "--max-new-tokens", "1"}));
  EXPECT_EQ(sample.status, 0);
  expect_in(sample.err, {"warning", "step-120 is passed over", "pointwork.toml is damaged"});
  EXPECT_EQ(answer_of({"eval", run, "--data", world().data(), "--sequences", "1"})["step"], 60);
  expect_refused({"verify", run, "--json"}, 1, {"step-120", "damaged"});
  fs::remove(run / "checkpoints" / "step-60" / "manifest.json");
  const ProgramResult none = run_program({"sample", run, "--prompt", "a"});
  EXPECT_EQ(none.status, 1);
  expect_in(none.err, {"pointwork sample: error: run ", "has no valid checkpoint"});
  EXPECT_EQ(none.out, "");
  EXPECT_EQ(run_program({"inspect", run}).status, 1);
}

TEST_F(BadInput, FoldersOfAnotherKind) {
  const auto refused = [&](const fs::path& path, const Words& parts) {
    expect_refused({"sample", path, "--prompt", "a"}, 1, parts);
  };
  refused(folder_ / "none", {"none: no such"});
  refused(world().data(), {"is a data set, expected a checkpoint or a run"});
  refused(world().tokenizer(), {"holds no checkpoint", "expected a run"});
  refused(world().corpus(), {"is a file, expected the folder"});
  const fs::path bert = folder_ / "bert";
  put(bert / "config.json", R"({"model_type": "bert", "vocab_size": 50257})");
  put(bert / "model.safetensors", "x");
  refused(bert, {"config.json: model_type must be one of gpt2, llama", "found \"bert\""});
  const ProgramResult inspect = run_program({"inspect", bert, "--json"});
  EXPECT_EQ(inspect.status, 1);
  const Json json = Json::parse(inspect.out);
  EXPECT_EQ(json["kind"], "Hugging Face folder");
  EXPECT_EQ(json["model_type"], "bert");
  expect_in(json["problems"].dump(), {"model_type must be one of"});

  expect_refused({"inspect", folder_ / "none", "--json"}, 1, {"none: no such file or folder"});
  expect_refused({"verify", folder_.path()}, 1, {"neither a run, a checkpoint, a data set nor"});
  expect_refused({"inspect", world().corpus()}, 1, {"corpus.txt: expected a folder"});
  expect_refused({"report", world().data(), "--out", folder_ / "page.html"}, 1, {"not a run"});
  expect_refused({"flops", world().data()}, 1, {"pointwork.toml"});
  EXPECT_EQ(names_in(folder_.path()), Words{"bert"});
}

TEST_F(BadInput, UnreadableFiles) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const fs::path data = copy(world().data());
  fs::permissions(data / "dataset.json", fs::perms::none);
  expect_refused(train(world().mod_config(), data), 1, {"dataset.json", "Permission denied"});
}

}  // namespace
}  // namespace pointwork::test
