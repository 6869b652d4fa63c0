#include <filesystem>
#include <fstream>

#include "tests/config/cases.h"
#include "tests/support/data.h"

namespace pointwork::test {
namespace {

template <class Form>
const Form& form(const Config& config, const std::string& name) {
  return std::get<Form>(config.branch.at(name).form);
}

TEST(ReadConfig, ReadsEveryTypeAndKeepsTheOtherDefaults) {
  const Config config = parse(
      "[model]\nhidden_size = 1_024\nnorm = \"rmsnorm\"\nnorm_bias = false\nnorm_eps = 1e-6\n"
      "layers = [\"a\", 'r']\n[branch.a]\nkind = \"attention\"\nnum_attention_heads = 0x10\n"
      "[branch.r]\nkind = \"routed\"\nof = \"a\"\nroute.capacity = 1\n[train]\ntokens = 2e9\n");
  Config expected;
  expected.model.hidden_size = 1024;
  expected.model.norm = NormKind::rmsnorm;
  expected.model.norm_bias = false;
  expected.model.norm_eps = 1e-6;
  expected.model.layers.repeat = {"a", "r"};
  expected.branch["a"].form = AttentionConfig{.num_attention_heads = 16};
  expected.branch["r"].form = RoutedConfig{.of = "a", .route = {.capacity = 1}};
  expected.train.tokens = 2'000'000'000;
  EXPECT_EQ(config, expected);
}

TEST(ReadConfig, ReadsLayersAsAListOrAsATable) {
  const std::string rest = "num_hidden_layers = 6\n";
  EXPECT_EQ(parse(mod_toml(rest)).model.layers, (LayersConfig{{}, {"dense", "mod"}, {}}));
  std::string table = mod_toml(rest);
  table.replace(table.find("[\"dense\", \"mod\"]"), 16,
                "{ first = [\"dense\"], repeat = [\"mod\"], last = [\"dense\"] }");
  EXPECT_EQ(parse(table).model.layers, (LayersConfig{{"dense"}, {"mod"}, {"dense"}}));
}

TEST(ReadConfig, ReadsByteOrderMarkCarriageReturnsAndComments) {
  std::string text = mod_toml("# größer\nhidden_size = 64 # width\n");
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2)
    text.replace(at, 1, "\r\n");
  EXPECT_EQ(parse("\xEF\xBB\xBF" + text).model.hidden_size, 64);
}

TEST(Overrides, SetEveryType) {
  const Config config = parse(mod_toml("", "[train]\ntokens = 5\n"),
                              {{"train.steps", "200"},
                               {"train.flops", "0"},
                               {"branch.mod.route.capacity", "0.25"},
                               {"branch.mod.route.capacity_schedule.start", "1"},
                               {"model.norm_bias", "false"},
                               {"model.norm", "rmsnorm"},
                               {"train.precision", "\"bfloat16\""},
                               {"branch.mod.of", "attention"},
                               {"branch.dense.of", "[\"mlp\"]"},
                               {"branch.mlp.kind", "attention"},
                               {"branch.mlp.num_attention_heads", "2"},
                               {"optimizer.learning_rate", "3e-4"},
                               {"train.batch_size", "1e3"},
                               {"branch.mod.route.capacity_schedule.steps", "7"}});
  EXPECT_EQ(config.train.steps, 200);
  EXPECT_EQ(config.train.tokens, 0);  // a budget replaces the file's
  const RouteConfig& route = form<RoutedConfig>(config, "mod").route;
  EXPECT_EQ(route.capacity, 0.25);
  EXPECT_EQ(route.capacity_schedule, (CapacityScheduleConfig{.start = 1, .steps = 7}));
  EXPECT_FALSE(config.model.norm_bias);
  EXPECT_EQ(config.model.norm, NormKind::rmsnorm);
  EXPECT_EQ(config.train.precision, Precision::bfloat16);
  EXPECT_EQ(form<RoutedConfig>(config, "mod").of, "attention");
  EXPECT_EQ(form<ChainConfig>(config, "dense").of, Strings{"mlp"});
  EXPECT_EQ(form<AttentionConfig>(config, "mlp").num_attention_heads, 2);
  EXPECT_EQ(config.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(config.train.batch_size, 1000);
}

TEST(Overrides, SetListsAndTablesWhole) {
  const std::string file = mod_toml() + "";
  const Config list = parse(file, {{"model.layers", "[\"dense\"]"}});
  EXPECT_EQ(list.model.layers, (LayersConfig{{}, {"dense"}, {}}));
  const Config table =
      parse(file, {{"model.layers", "{ last = [\"dense\"], repeat = [\"mod\"] }"}});
  EXPECT_EQ(table.model.layers, (LayersConfig{{}, {"mod"}, {"dense"}}));
  const Config first = parse(file, {{"model.layers.first", "[\"dense\"]"}});
  EXPECT_EQ(first.model.layers, (LayersConfig{{"dense"}, {"dense", "mod"}, {}}));
  const Config route = parse(
      file, {{"branch.mod.route", "{ weight = \"tanh\" }"}, {"branch.mod.route.decode", "router"}});
  EXPECT_EQ(form<RoutedConfig>(route, "mod").route,
            (RouteConfig{.weight = RouterWeight::tanh, .decode = CausalDecision::router}));
}

TEST(Overrides, GoBeforeTheFileWhichGoesBeforeTheDefault) {
  const std::string file = mod_toml("", "[train]\nbatch_size = 16\n");
  EXPECT_EQ(parse(mod_toml()).train.batch_size, TrainConfig{}.batch_size);
  EXPECT_EQ(parse(file).train.batch_size, 16);
  EXPECT_EQ(parse(file, {{"train.batch_size", "32"}}).train.batch_size, 32);
  const std::vector<Override> twice = {{"train.batch_size", "32"}, {"train.batch_size", "64"}};
  EXPECT_EQ(parse(file, twice).train.batch_size, 64);
}

TEST(Overrides, ABudgetReplacesTheFilesWhicheverItWas) {
  const std::string file = mod_toml("", "[train]\nflops = 1e13\n");
  const TrainConfig train = parse(file, {{"train.steps", "7"}}).train;
  EXPECT_EQ(train.steps, 7);
  EXPECT_EQ(train.flops, 0);
  EXPECT_EQ(parse(file, {{"train.seed", "7"}}).train.flops, 1e13);
  EXPECT_EQ(
      problems_of(file, {{"train.steps", "7"}, {"train.tokens", "8"}}),
      Strings{"train: give one budget of steps, tokens and flops; found steps = 7 tokens = 8"});
}

TEST(Overrides, TakeTheWholeRangeOfSeeds) {
  EXPECT_EQ(parse(mod_toml(), {{"train.seed", "9223372036854775807"}}).train.seed, INT64_MAX);
  EXPECT_EQ(parse(mod_toml(), {{"train.seed", "9007199254740993"}}).train.seed, 9007199254740993);
}

TEST(UnknownKey, IsNamedInFullWithItsLineAndTheNearest) {
  EXPECT_EQ(problems_of("[model]\nhiden_size = 4\nlayers = [\"m\"]\n[branch.m]\nkind = \"mlp\"\n"),
            Strings{"line 2: model.hiden_size: no such key; did you mean 'model.hidden_size'?"});
  EXPECT_EQ(problems_of(mod_toml("", "[trian]\nsteps = 3\n")),
            Strings{"line 15: trian: no such key; did you mean 'train'?"});
  EXPECT_EQ(problems_of(mod_toml("", "[branch.mod.route.capacity_schedule]\nstpes = 3\n")),
            Strings{"line 16: not TOML: Error while parsing table header: cannot insert "
                    "'branch.mod.route.capacity_schedule' into existing inline table"})
      << "an inline table is closed";
  EXPECT_EQ(problems_of(mod_toml("",
                                 "[branch.x]\nkind = \"routed\"\nof = \"mlp\"\n"
                                 "[branch.x.route.capacity_schedule]\nstpes = 3\n")),
            Strings{"line 19: branch.x.route.capacity_schedule.stpes: no such key; did you mean "
                    "'branch.x.route.capacity_schedule.steps'?"});
}

TEST(UnknownKey, InTheWrongSectionIsSentToTheRightOne) {
  EXPECT_EQ(problems_of(mod_toml("", "[train]\nlearning_rate = 3\n")),
            Strings{"line 16: train.learning_rate: no such key; did you mean "
                    "'optimizer.learning_rate'?"});
  EXPECT_EQ(problems_of("hidden_size = 4\n" + mod_toml()),
            Strings{"line 1: hidden_size: no such key; did you mean 'model.hidden_size'?"});
  EXPECT_EQ(problems_of(mod_toml("", "[branch.m]\nkind = \"mlp\"\nnum_attention_heads = 3\n")),
            Strings{"line 17: branch.m.num_attention_heads: no such key; did you mean "
                    "'branch.attention.num_attention_heads'?"});
}

TEST(UnknownKey, NearNothingIsToldWhatThereIs) {
  EXPECT_EQ(problems_of(mod_toml("", "[evaluate]\nxyzzy = 3\n")),
            Strings{"line 16: evaluate.xyzzy: no such key; [evaluate] has every, sequences"});
  EXPECT_EQ(problems_of(mod_toml("", "[branch.mod.route2]\nx = 3\n")),
            Strings{"line 15: branch.mod.route2: no such key; did you mean 'branch.mod.route'?"});
  EXPECT_EQ(problems_of("xyzzy = 3\n" + mod_toml()),
            Strings{"line 1: xyzzy: no such key; a config has model, branch, train, optimizer, "
                    "schedule, guard, evaluate, checkpoint, distill"});
}

TEST(UnknownKey, CannotBreakTheLineOrTheTerminal) {
  const Strings found = problems_of(mod_toml("", "[train]\n\"a\\nb\\u001b[31m.c\" = 3\n"));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].rfind("line 16: train.\"a\\nb\\u001b[31m.c\": no such key; [train] has ", 0),
            0u)
      << found[0];
}

std::string usage_error_of(const std::vector<Override>& overrides) {
  try {
    parse(mod_toml(), overrides);
  } catch (const UsageError& error) {
    return error.what();
  } catch (const std::exception& error) {
    return concat("not a UsageError: ", error.what());
  }
  return "nothing was thrown";
}

TEST(UnknownKey, InAnOverrideIsWrongUse) {
  EXPECT_EQ(usage_error_of({{"train.stpes", "3"}}),
            "test.toml: --train.stpes: no such key; did you mean 'train.steps'?");
  EXPECT_EQ(usage_error_of({{"trian.steps", "3"}}),
            "test.toml: --trian.steps: no such key; did you mean 'train.steps'?");
  EXPECT_EQ(usage_error_of({{"branch.mdo.route.capacity", "1"}}),
            "test.toml: --branch.mdo.route.capacity: no such key; did you mean "
            "'branch.mod.route.capacity'?");
  EXPECT_EQ(usage_error_of({{"branch.nothing.like.it", "1"}}),
            "test.toml: --branch.nothing.like.it: no such key; [branch] has attention, dense, mlp, "
            "mod");
  EXPECT_EQ(usage_error_of({{"train.lr", "1"}, {"model.learning_rate", "1"}}),
            "test.toml: 2 problems: --train.lr: no such key; [train] has steps, tokens, flops, "
            "batch_size, sequence_length, gradient_accumulation_steps, precision, seed, z_loss, "
            "document_mask, time_limit; --model.learning_rate: no such key; did you mean "
            "'optimizer.learning_rate'?");
  EXPECT_EQ(usage_error_of({{"branch.mod.route", "{ capcity = 1 }"}}),
            "test.toml: --branch.mod.route.capcity: no such key; did you mean "
            "'branch.mod.route.capacity'?");
}

TEST(UnknownKey, InAnOverrideBesideProblemsOfTheFileIsAProblemToo) {
  EXPECT_EQ(problems_of(mod_toml("hidden_size = 0\n"), {{"train.stpes", "3"}}),
            (Strings{"line 2: model.hidden_size must be at least 1 and at most 65536, found 0",
                     "--train.stpes: no such key; did you mean 'train.steps'?"}));
}

TEST(Overrides, OfASectionSayHowItsKeysAreGiven) {
  EXPECT_EQ(problems_of(mod_toml(), {{"train", "3"}}), Strings{"--train must be a table, found 3"});
  EXPECT_EQ(problems_of(mod_toml(), {{"branch.mod", "{}"}}),
            Strings{"--branch.mod is a section; give one of its keys, as --branch.mod.KEY=VALUE"});
}

struct Wrong {
  const char *key, *value, *problem;
};

// As the last line of a file, and as an override.
TEST(WrongValue, IsToldWithItsPathWhatIsExpectedAndWhatWasFound) {
  const std::vector<Wrong> cases = {
      {"train.steps", "\"many\"", " must be a whole number, found 'many'"},
      {"train.steps", "1.5", " must be a whole number, found 1.5"},
      {"train.steps", "nan", " must be a whole number, found nan"},
      {"train.steps", "inf", " must be a whole number, found inf"},
      {"train.steps", "true", " must be a whole number, found true"},
      {"train.steps", "[1]", " must be a whole number, found [ 1 ]"},
      {"train.steps", "{}", " must be a whole number, found a table"},
      {"train.steps", "2020-01-01", " must be a whole number, found 2020-01-01"},
      {"train.steps", "-1", " must be at least 0 and at most 1073741824, found -1"},
      {"train.steps", "1e300", " must be at least 0 and at most 1073741824, found 1e+300"},
      {"train.seed", "1e300", " must be at most 9223372036854775807, found 1e+300"},
      {"train.seed", "-1e300", " must be at least 0, found -1e+300"},
      {"train.flops", "\"1e13\"", " must be a number, found '1e13'"},
      {"train.flops", "nan", " must be a finite number, found nan"},
      {"train.flops", "-inf", " must be a finite number, found -inf"},
      {"train.flops", "false", " must be a number, found false"},
      {"model.hidden_size", "0", " must be at least 1 and at most 65536, found 0"},
      {"model.hidden_size", "65537", " must be at least 1 and at most 65536, found 65537"},
      {"model.norm_bias", "1", " must be true or false, found 1"},
      {"model.norm_bias", "\"yes\"", " must be true or false, found 'yes'"},
      {"model.norm", "\"layer_norm\"",
       " must be one of layernorm, rmsnorm, found 'layer_norm'; did you mean 'layernorm'?"},
      {"model.norm", "1", " must be one of layernorm, rmsnorm, found 1"},
      {"model.norm", "\"\"", " must be one of layernorm, rmsnorm, found ''"},
      {"model.layers", "\"dense\"",
       " must be a list of names, or a table of first, repeat and last, found 'dense'"},
      {"model.layers", "[\"dense\", 1]",
       " must be a list of names, as [\"a\", \"b\"], found [ 'dense', 1 ]"},
      {"optimizer.beta1", "1", " must be at least 0 and below 1, found 1"},
      {"optimizer.learning_rate", "0", " must be above 0, found 0"},
      {"optimizer", "3", " must be a table, found 3"},
      {"guard", "[1]", " must be a table, found [ 1 ]"},
  };
  for (const auto& [key, value, problem] : cases) {
    const std::string path = key;
    std::string file = path + " = " + value + "\n" + mod_toml();
    if (path.rfind("model.", 0) == 0) {
      file = mod_toml();
      if (path == "model.layers") file.replace(file.find("layers"), 25, "");
      file.insert(8, path.substr(6) + " = " + value + "\n");
    }
    const Strings found = problems_of(file);
    ASSERT_EQ(found.size(), 1u) << found[0];
    EXPECT_EQ(found[0].substr(found[0].find(": ") + 2), path + problem);
    EXPECT_EQ(problems_of(mod_toml(), {{path, value}}), Strings{"--" + path + problem}) << value;
  }
}

TEST(WrongValue, OfACapacityOutsideZeroToOneIsRefused) {
  for (const char* value : {"0", "-0.5", "1.0000001", "1e-400", "2"}) {
    const Strings found = problems_of(mod_toml(), {{"branch.mod.route.capacity", value}});
    EXPECT_EQ(found[0].rfind("--branch.mod.route.capacity must be above 0 and at most 1", 0), 0u)
        << found[0];
  }
  for (const char* value : {"1", "1.0", "1e-300"})
    EXPECT_NO_THROW(parse(mod_toml(), {{"branch.mod.route.capacity", value}})) << value;
}

TEST(WrongValue, OfAnOverrideMayBeAnyBytes) {
  EXPECT_EQ(problems_of(mod_toml(), {{"train.steps", "1\n2"}}),
            Strings{"--train.steps must be a whole number, found '''1 2'''"});
  EXPECT_EQ(problems_of(mod_toml(), {{"train.steps", "\xff\x1b[31m"}})[0].rfind(
                "--train.steps must be a whole number, found ", 0),
            0u);
  const std::string line = problems_of(mod_toml(), {{"train.steps", std::string(5000, '[')}})[0];
  EXPECT_LT(line.size(), 200u);
  EXPECT_EQ(problems_of(mod_toml(), {{"train.steps", "1 # comment"}, {"train.seed", ""}}).size(),
            1u);
}

TEST(WrongValue, AllAreToldAtOnceInTheFilesOrder) {
  EXPECT_EQ(
      problems_of("[model]\nhidden_size = 0\nnorm = 3\nlayrs = []\n[branch.a]\nkind = \"mpl\"\n"
                  "[branch.b]\n[train]\nprecision = \"fp16\"\nsteps = \"x\"\n",
                  {{"branch.a.bias", "true"}, {"train.seed", "-1"}}),
      (Strings{"line 2: model.hidden_size must be at least 1 and at most 65536, found 0",
               "line 3: model.norm must be one of layernorm, rmsnorm, found 3",
               "line 4: model.layrs: no such key; did you mean 'model.layers'?",
               "line 6: branch.a.kind must be one of attention, mlp, chain, parallel, repeat, "
               "routed, found 'mpl'; did you mean 'mlp'?",
               "line 7: branch.b.kind is missing: one of attention, mlp, chain, parallel, repeat, "
               "routed",
               "line 9: train.precision must be one of float32, bfloat16, found 'fp16'",
               "line 10: train.steps must be a whole number, found 'x'",
               "--train.seed must be at least 0, found -1"}));
}

TEST(WrongValue, OfABranchThatIsNoTableOrLacksItsOf) {
  EXPECT_EQ(problems_of("branch = 3\n"), Strings{"line 1: branch must be a table, found 3"});
  EXPECT_EQ(problems_of("branch.a = 3\n", {{"branch.a.of", "x"}}),
            Strings{"line 1: branch.a must be a table, found 3"});
  for (const char* kind : {"chain", "parallel", "repeat", "routed"}) {
    const Strings found = problems_of(mod_toml("", concat("[branch.x]\nkind = \"", kind, "\"\n")));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].rfind("line 15: branch.x.of is missing: name", 0), 0u) << found[0];
  }
  EXPECT_EQ(
      problems_of(mod_toml("", "[branch.x]\nkind = \"chain\"\nof = \"mlp\"\n")),
      Strings{"line 17: branch.x.of must be a list of names, as [\"a\", \"b\"], found 'mlp'"});
  EXPECT_EQ(problems_of(mod_toml("", "[branch.x]\nkind = \"repeat\"\nof = [\"mlp\"]\n")),
            Strings{"line 17: branch.x.of must be text, found [ 'mlp' ]"});
}

TEST(NotToml, NamesItsLine) {
  EXPECT_EQ(problems_of("[model]\nhidden_size = \n")[0].rfind("line 2: not TOML: ", 0), 0u);
  EXPECT_EQ(problems_of("[train]\nsteps = 1\nsteps = 2\n")[0].rfind("line 3: not TOML: ", 0), 0u);
  EXPECT_EQ(problems_of("[train]\n[model]\n[train]\n")[0].rfind("line 3: not TOML: ", 0), 0u);
  EXPECT_EQ(problems_of("x = \"\xff\"\n")[0].rfind("line 1: not TOML: ", 0), 0u);
  EXPECT_EQ(problems_of(std::string("x = 1\n\0", 7))[0].rfind("line 2: not TOML: ", 0), 0u);
  EXPECT_EQ(problems_of("[train]\nseed = 9223372036854775808\n")[0].rfind("line 2: not TOML: ", 0),
            0u);
  EXPECT_EQ(problems_of("x = " + std::string(100'000, '['))[0].rfind("line 1: not TOML: ", 0), 0u);
}

TEST(LoadConfig, RefusesWhatIsNoConfigFile) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::filesystem::path& path) -> std::string {
    try {
      load_config(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const auto write = [&](const std::string& name, const std::string& content) {
    std::ofstream(folder / name, std::ios::binary) << content;
    return folder / name;
  };
  const std::string here = folder.path().string();
  EXPECT_EQ(error_of(folder / "absent.toml"), here + "/absent.toml: no such config file");
  EXPECT_EQ(error_of(folder.path()),
            here + " must be a config file (TOML) but is a folder or a device");
  EXPECT_EQ(error_of("/dev/zero"),
            "/dev/zero must be a config file (TOML) but is a folder or a device");
  EXPECT_EQ(error_of(write("empty.toml", "")),
            here +
                "/empty.toml: model.layers must name the branches of 4 layers, as [\"dense\"], "
                "but names none");
  EXPECT_NE(error_of(write("binary.toml", std::string("\x7f"
                                                      "ELF\0\0",
                                                      6)))
                .find("binary.toml: line 1: not TOML"),
            std::string::npos);
  // A hole of 1 TB: its size is read, not its content.
  std::filesystem::resize_file(write("huge.toml", "x"), uintmax_t{1} << 40);
  EXPECT_EQ(error_of(folder / "huge.toml"),
            here +
                "/huge.toml must be a config file (TOML) but has 1099511627776 bytes, more than "
                "1048576");
}

TEST(LoadConfig, LoadsEveryConfigOfTheProject) {
  int count = 0;
  const auto configs = std::filesystem::path(POINTWORK_SOURCE_DIR) / "configs";
  for (const auto& entry : std::filesystem::directory_iterator(configs)) {
    const Config config = load_config(entry.path());
    EXPECT_EQ((config.train.steps > 0) + (config.train.tokens > 0) + (config.train.flops > 0), 1)
        << entry.path();
    EXPECT_EQ(remarks(config), Strings{}) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace pointwork::test
