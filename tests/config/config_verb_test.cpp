#include <fstream>
#include <nlohmann/json.hpp>

#include "pointwork/files/file.h"
#include "tests/config/cases.h"
#include "tests/support/data.h"
#include "tests/support/program.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

class ConfigVerb : public testing::Test {
 protected:
  ConfigVerb() { write("good.toml", mod_toml("", "[train]\nsteps = 500\n")); }

  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }

  ProgramResult config(Strings arguments) {
    arguments.insert(arguments.begin(), "config");
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.err.find("terminate"), std::string::npos) << result.err;
    return result;
  }

  TemporaryFolder folder_;
  const std::string good_ = folder_ / "good.toml";
};

TEST_F(ConfigVerb, ShowsTheResolvedConfig) {
  const ProgramResult toml = config({"show", good_, "--branch.mod.route.capacity=0.25"});
  EXPECT_EQ(toml.status, 0) << toml.err;
  const Config expected = parse(read_file(good_), {{"branch.mod.route.capacity", "0.25"}});
  EXPECT_EQ(toml.out, to_toml(expected));
  EXPECT_EQ(toml.err, "");
  const ProgramResult json = config({"show", good_, "--json", "--seed", "7"});
  EXPECT_EQ(Json::parse(json.out)["train"]["seed"], 7);
}

TEST_F(ConfigVerb, ChecksAllAtOnce) {
  const ProgramResult good = config({"check", good_});
  EXPECT_EQ(good.status, 0);
  EXPECT_EQ(good.out, good_ + ": no problem found\n");

  const ProgramResult doubtful = config({"check", good_, "--model.layers=[\"dense\"]"});
  EXPECT_EQ(doubtful.status, 0);
  EXPECT_EQ(doubtful.out,
            good_ + ": no problem found\nperhaps not meant: branch.mod is used by no layer\n");

  const std::string bad = write("bad.toml", "[model]\nhidden_size = 0\nlayrs = [\"dense\"]\n");
  const Strings problems = {
      "line 2: model.hidden_size must be at least 1 and at most 65536, found 0",
      "line 3: model.layrs: no such key; did you mean 'model.layers'?"};
  const ProgramResult found = config({"check", bad});
  EXPECT_EQ(found.status, 1);
  EXPECT_EQ(found.out, problems[0] + "\n" + problems[1] + "\n");
  const ProgramResult json = config({"check", bad, "--json"});
  EXPECT_EQ(json.status, 1);
  const Json answer = Json::parse(json.out);
  EXPECT_EQ(answer["valid"], false);
  EXPECT_EQ(answer["problems"], problems);
  EXPECT_EQ(answer["remarks"], Json::array());
  EXPECT_EQ(answer["error"]["verb"], "config");
}

TEST_F(ConfigVerb, ExplainsAKeyOrASection) {
  const ProgramResult text = config({"explain", good_, "branch.mod.route"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(text.out, explain(load_config(good_), "branch.mod.route"));
  const ProgramResult json = config({"explain", good_, "train.steps", "--json"});
  const Json key = Json::parse(json.out)["keys"].at(0);
  EXPECT_EQ(key["key"], "train.steps");
  EXPECT_EQ(key["value"], 500);
  EXPECT_EQ(key["default"], 0);
  EXPECT_EQ(key["unit"], "steps");
  const ProgramResult unknown = config({"explain", good_, "train.stpes", "--json"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_EQ(Json::parse(unknown.out)["error"]["verb"], "config");
}

TEST_F(ConfigVerb, PrintsTheReference) {
  EXPECT_EQ(config({"reference"}).out, config_reference());
  EXPECT_EQ(Json::parse(config({"reference", "--json"}).out)["markdown"], config_reference());
}

TEST_F(ConfigVerb, EndsWithTheRightStatusAndOneLine) {
  const std::string bad = write("bad.toml", "[model]\nhiden_size = 4\n");
  struct Case {
    Strings arguments;
    int status;
    std::string text;
  };
  const std::vector<Case> cases = {
      {{"show", bad},
       1,
       "line 2: model.hiden_size: no such key; did you mean 'model.hidden_size'?"},
      {{"show", good_, "--train.stpes=3"},
       2,
       "--train.stpes: no such key; did you mean 'train.steps'"},
      {{"check", good_, "--train.stpes=3"}, 2, "--train.stpes: no such key"},
      {{"show", good_, "--train.steps=x"}, 1, "--train.steps must be a whole number, found 'x'"},
      {{"show", good_, "--train.steps"}, 2, "--train.steps needs its value as --train.steps=VALUE"},
      {{"show", good_, "--jsn"}, 2, "no such flag --jsn; did you mean '--json'"},
      {{"show", folder_ / "absent.toml"}, 1, "absent.toml: no such config file"},
      {{"show", folder_.path()}, 1, "must be a config file (TOML) but is a folder"},
      {{"show"}, 2, "CONFIG"},
      {{}, 2, "what to do is missing, expected show"},
      {{"shwo", good_}, 2, "did you mean 'show'?"},
  };
  for (const Case& one : cases) {
    const ProgramResult result = config(one.arguments);
    EXPECT_EQ(result.status, one.status) << result.err << one.text;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.rfind("pointwork config: error: ", 0), 0u) << result.err;
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
    EXPECT_NE(result.err.find(one.text), std::string::npos) << result.err;
  }
}

TEST_F(ConfigVerb, TeachesByHelp) {
  const ProgramResult help = config({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* part : {"show", "check", "explain", "reference", "Examples:"})
    EXPECT_NE(help.out.find(part), std::string::npos) << help.out;
}

}  // namespace
}  // namespace pointwork::test
