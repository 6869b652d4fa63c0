#pragma once
// A small quickstart, made once a program: corpus, tokenizer, data set, and a Mixture-of-Depths run
// beside its dense twin. Its names are those of the examples that --help gives.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>
#include <thread>

#include "pointwork/base/rng.h"
#include "pointwork/files/file.h"
#include "tests/support/data.h"
#include "tests/support/program.h"
#include "tests/support/sentences.h"

namespace pointwork::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

inline void put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

inline const std::string kVocabulary = "300";

// "dense" or "dense", "mod"; `more` stands at the end of the first table.
inline std::string tiny_config(const std::string& layers, const std::string& more = "") {
  return "[model]\nhidden_size = 32\nnum_hidden_layers = 2\nmax_position_embeddings = 32\n" + more +
         "layers = [" + layers + "]\n" + kDenseAndMod + R"([train]
steps = 120
batch_size = 8
sequence_length = 32
[optimizer]
learning_rate = 3e-3
[schedule]
warmup_steps = 10
[evaluate]
every = 60
sequences = 8
[checkpoint]
every = 60
)";
}

// Documents of sentences that a small model learns in a hundred steps.
inline std::string tiny_corpus() {
  static const Words words = {"the", "quick", "brown", "fox",  "jumps", "over", "a",    "lazy",
                              "dog", "and",   "then",  "some", "river", "ran",  "past", "stones"};
  std::string text;
  for (uint64_t document = 0; document < 300; ++document) {
    uint64_t word = random_below(words.size(), 1, document);
    for (uint64_t i = 0; i < 60; ++i) {
      text += words[word] + (i % 12 == 11 ? ".\n" : " ");
      // Mostly the next word of the list, so that there is something to learn.
      word = random_below(4, 2, document, i) ? (word + 1) % words.size()
                                             : random_below(words.size(), 3, document, i);
    }
    text += "<|endoftext|>\n";
  }
  return text;
}

// Work this small only waits for a second thread.
inline Words on_one_thread(Words arguments) {
  arguments.insert(arguments.end(), {"--threads", "1"});
  return arguments;
}

class World {
 public:
  World() {
    put(at("quickstart/bible/corpus.txt"), tiny_corpus());
    const std::string vocabulary = "vocab_size = " + kVocabulary + "\n";
    put(at("configs/quickstart-mod.toml"), tiny_config("\"dense\", \"mod\""));
    put(at("configs/quickstart-dense.toml"), tiny_config("\"dense\""));
    put(at("configs/mod.toml"), tiny_config("\"dense\", \"mod\"", vocabulary));
    put(at("configs/dense.toml"), tiny_config("\"dense\"", vocabulary));
    put(at("README.md"), "# A heading\n\nSome words about the project.\n");
    put(at("docs/page.md"), "Some more words.\n");
    make({"tokenizer", "train", corpus(), "--vocab-size", kVocabulary, "--out", tokenizer()});
    make({"prepare", corpus(), "--tokenizer", tokenizer(), "--out", data(), "--validation", "0.1"});
    make({"train", mod_config(), "--data", data(), "--out", run()});
    make({"train", at("configs/quickstart-dense.toml"), "--data", data(), "--out",
          at("quickstart/bible/dense"), "--train.steps=2", "--checkpoint.every=0"});
  }

  fs::path at(const std::string& name) const { return folder_.path() / name; }
  fs::path corpus() const { return at("quickstart/bible/corpus.txt"); }
  fs::path tokenizer() const { return at("quickstart/bible/tokenizer"); }
  fs::path data() const { return at("quickstart/bible/data"); }
  fs::path run() const { return at("quickstart/bible/mod"); }
  fs::path checkpoint() const { return run() / "checkpoints" / "step-120"; }
  fs::path mod_config() const { return at("configs/quickstart-mod.toml"); }

 private:
  static void make(Words arguments) {
    arguments.emplace_back("--quiet");
    const ProgramResult result = run_program(on_one_thread(arguments));
    if (result.status != 0) throw std::runtime_error(arguments[0] + " failed: " + result.err);
  }

  TemporaryFolder folder_;
};

inline const World& world() {
  static const World one;
  return one;
}

// A run of 40 steps of the world's data, evaluated twice, by NAME.toml, which holds `config`.
inline fs::path short_run(const std::string& name, const std::string& config) {
  const fs::path file = world().at(name + ".toml"), made = world().at(name);
  put(file, config);
  const ProgramResult result =
      run_program(on_one_thread({"train", file, "--data", world().data(), "--out", made,
                                 "--train.steps=40", "--evaluate.every=20", "--quiet"}));
  EXPECT_EQ(result.status, 0) << result.err;
  return made;
}

// The answer of a verb that must succeed, with nothing else on standard output.
inline Json answer_of(Words arguments) {
  arguments.emplace_back("--json");
  const ProgramResult result = run_program(on_one_thread(arguments));
  EXPECT_EQ(result.status, 0) << result.err;
  const Json json = Json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out;
  return json;
}

inline void expect_in(const std::string& text, const Words& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

// One line on standard error that names every part; with --json the same as a document.
inline void expect_refused(const Words& arguments, int status, const Words& parts,
                           const ProgramOptions& options = {}) {
  const ProgramResult result = run_program(arguments, options);
  std::string shown = "pointwork";
  for (const std::string& one : arguments) shown += " " + one;
  SCOPED_TRACE(shown);
  EXPECT_EQ(result.status, status) << result.err;
  const size_t colon = result.err.find(": error: ");
  ASSERT_NE(colon, std::string::npos) << result.err;
  EXPECT_EQ(result.err.rfind("pointwork", 0), 0u) << result.err;
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
  expect_in(result.err, parts);
  // Names of temporary folders are random, and may spell anything.
  const std::string said =
      std::regex_replace(result.err, std::regex("pointwork-[A-Za-z0-9]{6}"), "");
  for (const char* alien : {"terminate", "what():", "exception", "filesystem error", "[enforce",
                            "0x", "\x1b", "\r", "TEXT", "INT ", "FLOAT", "ubcommand"})
    EXPECT_EQ(said.find(alien), std::string::npos) << alien << ": " << result.err;
  if (std::find(arguments.begin(), arguments.end(), "--json") == arguments.end()) return;
  const Json json = Json::parse(result.out, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << result.out;
  const std::string verb = json["error"]["verb"];
  EXPECT_EQ(result.err.substr(0, colon), verb.empty() ? "pointwork" : "pointwork " + verb);
  EXPECT_EQ(result.err.substr(colon + 9), json["error"]["message"].get<std::string>() + "\n");
}

// A program mostly waits for its libraries to load, so two of them at a time.
inline void two_at_a_time(size_t count, const std::function<void(size_t)>& work) {
  const auto half = [&](size_t first) {
    for (size_t i = first; i < count; i += 2) work(i);
  };
  std::thread other(half, 1);
  half(0);
  other.join();
}

// Names in a folder, sorted.
inline Words names_in(const fs::path& folder) {
  Words names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pointwork::test
