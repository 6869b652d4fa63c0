// sample: prompts of every kind, how it ends, and what it shows.

#include "tests/apps/world.h"

namespace pointwork::test {
namespace {

ProgramResult sample(Words more) {
  more.insert(more.begin(), {"sample", world().run()});
  return run_program(on_one_thread(more));
}

Json sample_json(Words more) {
  more.insert(more.begin(), {"sample", world().run()});
  return answer_of(more);
}

TEST(Sample, AnswersWhatItSaysItDid) {
  const Json json = sample_json({"--prompt", "the quick", "--max-new-tokens", "12", "--seed", "3"});
  EXPECT_EQ(json["prompt"], "the quick");
  EXPECT_FALSE(json["text"].get<std::string>().empty());
  EXPECT_EQ(json["tokens"].size(), 12u);
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_GE(json["routed_share"], 0.0);
  EXPECT_LE(json["routed_share"], 1.0);
  // The same draw again, as plain text; another seed is another draw.
  const Words words = {"--prompt", "the quick", "--max-new-tokens", "12", "--seed", "3"};
  const ProgramResult plain = sample(words);
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.out, "the quick" + json["text"].get<std::string>() + "\n");
  Words other = words;
  other.back() = "4";
  EXPECT_NE(sample(other).out, plain.out);
}

TEST(Sample, NoNewTokensArePossible) {
  const Json json = sample_json({"--prompt", "the", "--max-new-tokens", "0"});
  EXPECT_EQ(json["text"], "");
  EXPECT_EQ(json["tokens"], Json::array());
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(sample({"--prompt", "the", "--max-new-tokens", "0"}).out, "the\n");
}

TEST(Sample, StopsBeforeTheFirstStopText) {
  const Words greedy = {"--prompt", "the quick", "--temperature", "0", "--max-new-tokens", "20"};
  const std::string whole = sample_json(greedy)["text"];
  ASSERT_GT(whole.size(), 8u);
  // Two of its own pieces: the earlier one ends it, whichever was given first.
  const std::string early = whole.substr(3, 2), late = whole.substr(6, 2);
  Words arguments = greedy;
  for (const std::string& stop : {late, early, std::string("[not,there]")})
    arguments.insert(arguments.end(), {"--stop", stop});
  const Json json = sample_json(arguments);
  EXPECT_EQ(json["finish_reason"], "stop");
  EXPECT_EQ(json["text"], whole.substr(0, std::min(whole.find(early), whole.find(late))));
  EXPECT_EQ(sample(arguments).out, "the quick" + json["text"].get<std::string>() + "\n");
  expect_refused({"sample", world().run(), "--stop", ""}, 1, {"stop text", "empty"});
}

TEST(Sample, ReadsAPromptALine) {
  const fs::path file = world().at("prompts");
  const auto prompts = [&](const std::string& content) {
    put(file, content);
    Words all;
    const Json json = sample_json({"--prompts", file, "--max-new-tokens", "1"});
    for (const Json& one : json["samples"]) all.push_back(one["prompt"]);
    return all;
  };
  EXPECT_EQ(prompts("the\r\n\r\nquick fox\n\n  \nbrown"), (Words{"the", "quick fox", "brown"}));
  EXPECT_EQ(prompts("one only\n"), Words{"one only"});
  const ProgramResult text = sample({"--prompts", file, "--max-new-tokens", "1"});
  EXPECT_EQ(text.out.rfind("one only", 0), 0u) << text.out;

  // A row of a batch is what the prompt alone would give, with the next seed.
  put(file, "the quick\na lazy dog\n");
  const Json both = sample_json({"--prompts", file, "--max-new-tokens", "9", "--seed", "5"});
  const Json alone =
      sample_json({"--prompt", "a lazy dog", "--max-new-tokens", "9", "--seed", "6"});
  EXPECT_EQ(both["samples"][1]["tokens"], alone["tokens"]);

  const auto refused = [&](const Words& parts) {
    expect_refused({"sample", world().run(), "--prompts", file, "--json"}, 1, parts);
  };
  put(file, "");
  refused({"--prompts", "holds no prompt", "one a line"});
  put(file, "\n\r\n");
  refused({"holds no prompt"});
  put(file, "the\nfo\xFFx\n");
  refused({"prompt 2", "UTF-8", "offset 2"});
  fs::remove(file);
  refused({"prompts", "No such file"});
  fs::create_directory(file);
  refused({"prompts", "folder"});
  fs::remove(file);
}

TEST(Sample, RefusedPromptsAreNotBegun) {
  std::string longest;
  for (int i = 0; i < 40; ++i) longest += "river ";
  const Words too_long = {"sample", world().run(), "--prompt", longest};
  expect_refused(too_long, 1, {"the prompt has", "learned positions end at 32"});
  EXPECT_EQ(run_program(too_long).out, "");
  const Words broken = {"sample", world().run(), "--prompt", "fo\xFFx"};
  expect_refused(broken, 1, {"the prompt", "UTF-8", "offset 2"});
  EXPECT_EQ(run_program(broken).out, "");
}

TEST(Sample, SaysWhereTheLearnedPositionsEnd) {
  const Words words = {"--prompt", "the", "--max-new-tokens", "100", "--temperature", "0"};
  const ProgramResult text = sample(words);
  EXPECT_EQ(text.status, 0);
  const Json json = sample_json(words);
  if (json["finish_reason"] == "end") GTEST_SKIP() << "the model ended its text";
  EXPECT_EQ(json["finish_reason"], "context");
  expect_in(text.err, {"trained length of 32 tokens", "no learned positions"});
  EXPECT_EQ(std::count(text.err.begin(), text.err.end(), '\n'), 1);
  Words quiet = words;
  quiet.emplace_back("--quiet");
  EXPECT_EQ(sample(quiet).err, "");
}

TEST(Sample, ShowsRoutingWithoutColour) {
  const Words words = {"--prompt", "the quick", "--max-new-tokens", "8", "--seed", "2"};
  Words shown = words;
  shown.emplace_back("--show-routing");
  const ProgramResult result = sample(shown);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  expect_in(result.out, {"share of routed blocks", "₀ none", "₉ all"});
  // A digit after each token: none or all of the one routed block, and one that was not run.
  std::string passage = result.out.substr(0, result.out.rfind("share of"));
  size_t digits = 0, not_run = 0;
  for (const char* digit : {"₀", "₉", "₋"}) {
    for (size_t at = 0; (at = passage.find(digit, at)) != std::string::npos;) {
      passage.erase(at, std::string(digit).size());
      ++digits;
      not_run += std::string(digit) == "₋";
    }
  }
  const Json json = sample_json(words);
  EXPECT_EQ(not_run, 1u);
  EXPECT_GT(digits, json["tokens"].size() + 1);
  EXPECT_EQ(passage.rfind("the quick", 0), 0u) << passage;
}

TEST(Sample, EitherRoutingAndEitherPrecision) {
  const Words words = {"--prompt", "the quick brown fox", "--max-new-tokens", "6"};
  for (const char* routing : {"inference", "training"}) {
    for (const char* precision : {"float32", "bfloat16"}) {
      Words arguments = words;
      arguments.insert(arguments.end(), {"--routing", routing, "--precision", precision});
      const Json json = sample_json(arguments);
      EXPECT_EQ(json["tokens"].size(), 6u);
      // Of a sequence, top-k takes a quarter, rounded up.
      if (std::string(routing) == "training") {
        EXPECT_GE(json["routed_share"], 0.25);
        EXPECT_LE(json["routed_share"], 0.4);
      }
    }
  }
}

}  // namespace
}  // namespace pointwork::test
