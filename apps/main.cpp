// The `pointwork` program: one verb a task. Parses, runs, and turns every error into one line and
// an exit status.

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>

#include "apps/verb.h"
#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"

namespace {

using namespace pointwork;
using namespace pointwork::app;

struct Verb {
  const char* name;
  const char* summary;
  Run (*add)(CLI::App&, Common&);
  bool configurable;  // takes --section.key=value
};

constexpr Verb kVerbs[] = {
    // In the order in which a newcomer meets them.
    {"tokenizer", "learn a byte-level BPE, and use one", add_tokenizer, false},
    {"prepare", "turn text of any kind into a data set of token shards", add_prepare, false},
    {"train", "train a model, or go on where a run stopped", add_train, true},
    {"sample", "continue prompts, and show where the depth went", add_sample, false},
    {"eval", "loss, perplexity and routing on held-out text", add_eval, false},
    {"report", "write one self-contained HTML page about runs", add_report, false},
    {"flops", "count FLOPs, parameters and key-value bytes, part by part", add_flops, true},
    {"bench", "time steps, decoding and routing, against the ideal saving", add_bench, true},
    {"config", "show, check or explain a configuration", add_config, true},
    {"inspect", "say what a checkpoint, data set, tokenizer or .safetensors file is", add_inspect,
     false},
    {"verify", "read everything a checkpoint or data set holds and check its hashes", add_verify,
     false},
    {"logits", "write every logit and route of given token ids", add_logits, false},
    {"doctor", "say what this machine and build can do, and what is missing", add_doctor, false},
};

void add_common(CLI::App& command, Common& common) {
  command.add_flag("--json", common.json,
                   "one JSON document on standard output, nothing else there");
  command.add_flag("--quiet", common.quiet, "no progress");
  command.add_option("--device", common.device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command.add_option("--threads", common.threads, "threads; 0: all cores")
      ->check(CLI::Range(0, 4096));
  command
      .add_option("--seed", common.seed,
                  "of everything drawn at random; default: the configuration's")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  command
      .add_option("--precision", common.precision,
                  "float32 or bfloat16; default: the configuration's")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

int report_failure(const std::string& verb, bool json, const std::string& message, int status) {
  std::cout.flush();
  std::fprintf(stderr, "pointwork%s%s: error: %s\n", verb.empty() ? "" : " ", verb.c_str(),
               one_line(message).c_str());
  if (json) {
    const nlohmann::ordered_json document = {
        {"error", {{"verb", verb}, {"message", one_line(message)}}}};
    std::printf("%s\n",
                document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    std::fflush(stdout);
  }
  return status;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What the options did not take: --section.key=value, or a mistake.
void read_overrides(const CLI::App& command, bool configurable, Common& common) {
  for (const std::string& extra : command.remaining(true)) {
    const size_t equals = extra.find('=');
    const std::string name = extra.substr(0, equals);
    if (extra.rfind("--", 0) != 0) throw UsageError(concat("unexpected argument '", extra, "'"));
    if (name.find('.') == std::string::npos) {
      throw UsageError(concat("no such flag ", name, did_you_mean(name, option_names(command))));
    }
    if (!configurable)
      throw UsageError(concat(name, ": this verb reads no configuration, so it has no such key"));
    if (equals == std::string::npos)
      throw UsageError(concat(name, " needs its value as ", name, "=VALUE"));
    common.overrides.push_back({name.substr(2), extra.substr(equals + 1)});
  }
}

// Configured by a flag, so said the same way as by a key.
void flags_to_overrides(bool configurable, Common& common) {
  if (!configurable) return;
  if (common.seed >= 0) common.overrides.push_back({"train.seed", std::to_string(common.seed)});
  if (!common.precision.empty()) common.overrides.push_back({"train.precision", common.precision});
}

int run_guarded(const std::string& verb, bool json, const std::function<int()>& body) {
  try {
    const int status = body();
    std::cout.flush();
    check(std::fflush(stdout) == 0 && std::cout.good(),
          "standard output cannot be written (is the disk full?)");
    return status;
  } catch (const UsageError& error) {
    return report_failure(verb, json, error.what(), 2);
  } catch (const Error& error) {
    return report_failure(verb, json, error.what(), 1);
  } catch (const c10::Error& error) {
    return report_failure(verb, json, concat("internal: ", error.what_without_backtrace()), 1);
  } catch (const std::bad_alloc&) {
    return report_failure(verb, json, "out of memory", 1);
  } catch (const std::exception& error) {
    return report_failure(verb, json, error.what(), 1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program{
      "Pointwork: language models that decide, token by token, which parts of themselves run.",
      "pointwork"};
  program.require_subcommand(1);
  program.set_version_flag("--version", "pointwork " POINTWORK_VERSION);
  program.footer(
      "`pointwork VERB --help` says more. The README shows a first model in two commands.");

  Common common;
  std::vector<Run> runs;
  for (const Verb& verb : kVerbs) {
    CLI::App* command = program.add_subcommand(verb.name, verb.summary);
    command->allow_extras();
    runs.push_back(verb.add(*command, common));
    add_common(*command, common);
    // Common options and overrides may stand behind a verb's own sub-verb too.
    for (CLI::App* inner : command->get_subcommands({})) inner->fallthrough();
  }

  std::string name;
  const bool json = std::find_if(argv + 1, argv + argc, [](const char* a) {
                      return std::string_view(a) == "--json";
                    }) != argv + argc;
  for (const Verb& verb : kVerbs) {
    if (argc > 1 && std::string_view(argv[1]) == verb.name) name = verb.name;
  }
  if (argc > 1 && argv[1][0] != '-' && name.empty()) {
    std::vector<std::string> names;
    for (const Verb& verb : kVerbs) names.push_back(verb.name);
    return report_failure("", json,
                          concat("no such verb '", argv[1], "'", did_you_mean(argv[1], names)), 2);
  }
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);
    return report_failure(name, json, error.what(), 2);
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const CLI::App* command = program.get_subcommands({}).at(i);
    if (!command->parsed()) continue;
    return run_guarded(name, json, [&] {
      read_overrides(*command, kVerbs[i].configurable, common);
      flags_to_overrides(kVerbs[i].configurable, common);
      return runs[i]();
    });
  }
  return 0;
}
