// Wrong use: status 2 and one line of our own words. And --help, whose examples run.

#include <unistd.h>

#include <set>
#include <sstream>

#include "pointwork/log/terminal.h"
#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

const Words kVerbs = {"tokenizer", "prepare", "train",   "sample", "eval",   "report",  "flops",
                      "bench",     "config",  "inspect", "verify", "logits", "convert", "doctor"};
const std::vector<Words> kInnerVerbs = {{"tokenizer", "train"},  {"tokenizer", "encode"},
                                        {"tokenizer", "decode"}, {"tokenizer", "info"},
                                        {"config", "show"},      {"config", "check"},
                                        {"config", "explain"},   {"config", "reference"}};

TEST(Usage, MistakesAreOneLineThatNamesWhatWasExpected) {
  const std::string config = world().at("configs/mod.toml"), run = world().run();
  struct Case {
    Words arguments;
    Words parts;
  };
  const std::vector<Case> cases = {
      {{}, {"a verb is missing", "tokenizer, prepare, train", "pointwork --help"}},
      {{"--jsn"}, {"no such flag --jsn", "pointwork VERB --help"}},
      {{"--quiet", "train"}, {"flags follow the verb", "pointwork train --quiet"}},
      {{"trian", "--json"}, {"no such verb 'trian'", "did you mean 'train'"}},
      {{"fly"}, {"no such verb 'fly'", "expected tokenizer, prepare"}},
      {{"config", "--json"}, {"expected show, check, explain or reference"}},
      {{"config", "shw", "--json"}, {"'config shw'", "did you mean 'show'"}},
      {{"tokenizer", "encod"}, {"'tokenizer encod'", "did you mean 'encode'"}},
      {{"config", "show", "--json"}, {"CONFIG is missing", "a TOML file"}},
      {{"config", "show", config, "other"}, {"unexpected argument 'other'"}},
      {{"train", config, "--json"}, {"--data DIR", "pointwork prepare"}},
      {{"train", config, "--data"}, {"--data needs a value"}},
      // What was misspelt comes before what is therefore missing.
      {{"eval", run, "--dat", "x", "--json"}, {"no such flag --dat", "did you mean '--data'"}},
      {{"sample", run, "extra"}, {"unexpected argument 'extra'"}},
      {{"sample", run, "--promt", "x"}, {"no such flag --promt", "did you mean '--prompt'"}},
      {{"sample", run, "--prompt", "a", "--prompts", "b"}, {"--prompt and --prompts", "both"}},
      {{"sample", run, "--seed", "1", "--seed", "2"}, {"--seed is given 2 times"}},
      {{"sample", run, "--quiet=perhaps"}, {"--quiet takes no value", "found 'perhaps'"}},
      {{"inspect", "-x"}, {"no such flag -x"}},
      {{"flops", config, "--json", "--device", "gpu"},
       {"--device must be cpu, cuda or auto", "found 'gpu'"}},
      {{"flops", config, "--precision", "float16"}, {"float32 or bfloat16", "found 'float16'"}},
      {{"flops", config, "--threads", "-1"}, {"--threads must be", "0 to 4096", "found '-1'"}},
      {{"flops", config, "--seed", "1e3"}, {"--seed must be a whole number", "found '1e3'"}},
      {{"flops", config, "--phase", "trian"}, {"train, forward or decode", "did you mean 'train'"}},
      {{"flops", config, "--sequence", "0"}, {"--sequence must be", "found '0'"}},
      {{"bench", "stp", config}, {"step, decode or route", "did you mean 'step'"}},
      {{"bench", "step", config, "--seconds", "nan"}, {"--seconds must be", "found 'nan'"}},
      {{"eval", run, "--data", "x", "--routing", "both"}, {"inference or training", "'both'"}},
      {{"logits", run, "--ids", "x", "--json"}, {"--out FILE.safetensors is missing"}},
      {{"sample", run, "--temperature", "-1"}, {"--temperature must be", "0, found '-1'"}},
      {{"sample", run, "--temperature", "inf"}, {"--temperature must be", "found 'inf'"}},
      {{"sample", run, "--top-p", "0"}, {"--top-p must be", "above 0", "found '0'"}},
      {{"sample", run, "--top-p", "nan"}, {"--top-p must be", "found 'nan'"}},
      {{"sample", run, "--top-k", "-1"}, {"--top-k must be", "found '-1'"}},
      {{"sample", run, "--max-new-tokens", "-1"}, {"--max-new-tokens must be", "found '-1'"}},
      {{"prepare", "x", "--tokenizer", "t", "--out", "o", "--validation", "1"},
       {"--validation must be", "below 1", "found '1'"}},
      // A key of the configuration: wherever it is unknown.
      {{"config", "show", config, "--branch.mod.route.capcity=1", "--json"},
       {"--branch.mod.route.capcity", "did you mean 'branch.mod.route.capacity'"}},
      {{"train", config, "--data", world().data(), "--out", world().at("none"), "--tran.steps=1"},
       {"--tran.steps", "did you mean 'train.steps'"}},
      {{"flops", config, "--train.steps"}, {"--train.steps=VALUE"}},
      {{"eval", run, "--data", world().data(), "--train.steps=1", "--json"},
       {"--train.steps", "no such key"}},
      {{"doctor", "--train.steps=1"}, {"--train.steps", "no such key"}},
  };
  two_at_a_time(cases.size(),
                [&](size_t i) { expect_refused(cases[i].arguments, 2, cases[i].parts); });
  EXPECT_FALSE(fs::exists(world().at("none")));
}

TEST(Usage, AnEmptyValueIsAValue) {
  const std::string run = world().run();
  const Json joined = answer_of({"sample", run, "--prompt=", "--max-new-tokens", "2"});
  EXPECT_EQ(joined["prompt"], "");
  EXPECT_EQ(joined["tokens"].size(), 2u);
  EXPECT_EQ(joined, answer_of({"sample", run, "--prompt", "", "--max-new-tokens", "2"}));
  // After -- nothing is a flag.
  EXPECT_EQ(run_program({"inspect", "--quiet", "--", world().tokenizer()}).status, 0);
  expect_refused({"inspect", "--", "-x"}, 1, {"-x: no such file"});
}

TEST(Usage, TheCommandLineGoesBeforeTheFileAndTheFileBeforeTheDefault) {
  const std::string config = world().at("configs/mod.toml");
  const Json file = answer_of({"config", "show", config});
  EXPECT_EQ(file["train"]["steps"], 120);
  EXPECT_EQ(file["train"]["precision"], "float32");
  const Json line = answer_of({"config", "show", config, "--train.steps=7", "--train.steps=8",
                               "--precision", "bfloat16", "--seed", "9"});
  EXPECT_EQ(line["train"]["steps"], 8);
  EXPECT_EQ(line["train"]["precision"], "bfloat16");
  EXPECT_EQ(line["train"]["seed"], 9);
}

TEST(Usage, AGpuThatIsNotThereIsSaid) {
  if (answer_of({"doctor", "--quiet"})["cuda"] == true) GTEST_SKIP() << "there is a GPU";
  expect_refused({"eval", world().run(), "--data", world().data(), "--device", "cuda", "--json"}, 1,
                 {"--device cuda", "no CUDA device", "pointwork doctor"});
}

TEST(Help, EveryVerbTeaches) {
  std::vector<Words> all = kInnerVerbs;
  for (const std::string& verb : kVerbs) all.push_back({verb});
  const ProgramResult program = run_program({"--help"});
  expect_in(program.out, kVerbs);
  two_at_a_time(all.size(), [&](size_t i) {
    Words verb = all[i];
    verb.emplace_back("--help");
    const ProgramResult help = run_program(verb);
    EXPECT_EQ(help.status, 0);
    EXPECT_EQ(help.err, "");
    SCOPED_TRACE(help.out);
    const std::string sentence =
        help.out.substr(0, help.out.find("\n\nUsage: pointwork " + verb[0]));
    EXPECT_GT(sentence.size(), 10u);
    EXPECT_LT(sentence.size(), 200u);
    EXPECT_EQ(sentence.back(), '.');
    expect_in(help.out, {"--json", "--quiet", "--device cpu|cuda|auto", "--threads N", "--seed N",
                         "--precision float32|bfloat16", "(default auto)", "\nExamples:\n"});
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);) {
      // A command stands on one line, whatever its length.
      const bool command = line.rfind("  pointwork", 0) == 0 || line.rfind("  echo", 0) == 0 ||
                           line.rfind("Usage: ", 0) == 0;
      EXPECT_TRUE(command || display_width(line) <= 80) << line;
    }
  });
  EXPECT_EQ(run_program({"help", "flops"}).out, run_program({"flops", "--help"}).out);
}

// Commands under "Examples:".
Words examples_of(const std::string& help) {
  Words commands;
  std::istringstream lines(help.substr(help.find("\nExamples:\n") + 11));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  ", 0) == 0) commands.push_back(line.substr(2));
  }
  return commands;
}

TEST(Help, TheExamplesRun) {
  fs::create_directory(world().at("bin"));
  fs::create_symlink(POINTWORK_PROGRAM, world().at("bin/pointwork"));
  std::set<std::string> done;
  const auto try_all = [&](Words verb) {
    verb.emplace_back("--help");
    const Words commands = examples_of(run_program(verb).out);
    EXPECT_GE(commands.size(), 2u) << verb[0];
    for (std::string command : commands) {
      if (!done.insert(command).second) continue;
      // These two take their time, which a shorter one shows as well.
      if (verb[0] == "bench") command += " --seconds 1";
      if (verb[0] == "doctor") command += " --quiet";
      const std::string log = world().at("log");
      const std::string line = "cd '" + world().at("").string() +
                               "' && PATH=\"$PWD/bin:$PATH\" && { " + command + " ; } > '" + log +
                               "' 2>&1 < /dev/null";
      EXPECT_EQ(std::system(line.c_str()), 0) << command << "\n" << read_file(log);
    }
  };
  for (const std::string& verb : kVerbs) try_all({verb});
  for (const Words& verb : kInnerVerbs) try_all(verb);
  EXPECT_GE(done.size(), 2 * kVerbs.size());
}

}  // namespace
}  // namespace pointwork::test
