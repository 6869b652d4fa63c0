// The `pointwork` program: one verb a task. Parses, runs, and turns every error into one line and
// an exit status.

#include <c10/util/Exception.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/help.h"
#include "apps/verb.h"
#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"

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
    {"convert", "make one model of another: a mixture of experts or of modules of a dense one",
     add_convert, true},
    {"doctor", "say what this machine and build can do, and what is missing", add_doctor, false},
};

void add_common(CLI::App& command, Common& common) {
  const std::string group = "Options of every verb";
  command
      .add_flag("--json", common.json,
                "one JSON document (train: one a step) on standard output, nothing else there")
      ->group(group);
  command.add_flag("--quiet", common.quiet, "no progress and no notes")->group(group);
  command.add_option("--device", common.device, "where to compute; auto: on a GPU if there is one")
      ->type_name("cpu|cuda|auto")
      ->check(one_of({"cpu", "cuda", "auto"}))
      ->capture_default_str()
      ->group(group);
  command.add_option("--threads", common.threads, "threads that compute; 0: one a core")
      ->type_name("N")
      ->check(whole_number(0, 4096))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--seed", common.seed,
                  "of all that is drawn (default: the configuration's, else 1)")
      ->type_name("N")
      ->check(whole_number(0))
      ->group(group);
  command
      .add_option("--precision", common.precision,
                  "what to compute in (default: the configuration's or checkpoint's)")
      ->type_name("float32|bfloat16")
      ->check(one_of({"float32", "bfloat16"}))
      ->group(group);
  command.set_help_flag("-h,--help", "say this, and do nothing")->group(group);
}

constexpr size_t kLongestMessage = 2000;  // bytes

// A library's words about memory, in ours.
std::string without_internals(const std::string& message) {
  const size_t at = message.find("ried to allocate");
  if (at == std::string::npos) return "internal: " + message;
  return concat("out of memory: t", message.substr(at, message.find(". ", at) - at));
}

int report_failure(const std::string& verb, bool json, const std::string& message, int status) {
  std::cout.flush();
  const std::string line = printable(message, kLongestMessage);
  std::fprintf(stderr, "pointwork%s%s: error: %s\n", verb.empty() ? "" : " ", verb.c_str(),
               line.c_str());
  if (json) {
    const nlohmann::ordered_json document = {{"error", {{"verb", verb}, {"message", line}}}};
    std::printf("%s\n",
                document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    std::fflush(stdout);
  }
  return status;
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
    check(std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good(),
          "standard output cannot be written (is the disk full?)");
    return status;
  } catch (const UsageError& error) {
    return report_failure(verb, json, error.what(), 2);
  } catch (const Error& error) {
    return report_failure(verb, json, error.what(), 1);
  } catch (const c10::Error& error) {
    return report_failure(verb, json, without_internals(error.what_without_backtrace()), 1);
  } catch (const std::bad_alloc&) {
    return report_failure(verb, json, "out of memory", 1);
  } catch (const std::filesystem::filesystem_error& error) {
    return report_failure(verb, json, concat(error.path1().string(), ": ", error.code().message()),
                          1);
  } catch (const std::exception& error) {
    return report_failure(verb, json, error.what(), 1);
  }
}

// Ends as a shell expects; verbs that save first have handlers of their own.
void on_signal(int number) { _exit(128 + number); }

void set_signals() {
  for (const int number : {SIGINT, SIGTERM}) {
    if (std::signal(number, on_signal) == SIG_IGN) std::signal(number, SIG_IGN);
  }
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error like a full disk
}

// A verb's own verbs (`config show`) take the common options too.
void add_verb(CLI::App& program, const Verb& verb, Common& common, std::vector<Run>& runs) {
  CLI::App* command = program.add_subcommand(verb.name, verb.summary);
  runs.push_back(verb.add(*command, common));
  std::vector<CLI::App*> all = command->get_subcommands({});
  all.push_back(command);
  for (CLI::App* one : all) {
    one->allow_extras();
    add_common(*one, common);
    if (verb.configurable)
      one->footer(
          "Any key of the configuration can be given as --section.key=VALUE; `pointwork config "
          "explain CONFIG` lists them.\n" +
          one->get_footer());
  }
}

}  // namespace

int main(int argc, char** argv) {
  set_signals();
  CLI::App program{
      "Pointwork: language models that decide, token by token, which parts of themselves run.",
      "pointwork"};
  program.formatter(std::make_shared<Help>());
  program.require_subcommand(1);
  program.allow_extras();
  program.set_help_flag("-h,--help", "say this, and do nothing");
  program.set_version_flag("--version", "pointwork " POINTWORK_VERSION,
                           "say which version this is");
  program.footer(
      "`pointwork VERB --help` says more.\n"
      "Examples:\n"
      "  pointwork flops configs/mod.toml\n"
      "  pointwork doctor");

  Common common;
  std::vector<Run> runs;
  for (const Verb& verb : kVerbs) add_verb(program, verb, common, runs);

  std::vector<std::string> arguments = arguments_of(argc, argv);
  const std::string first = arguments.empty() ? "" : arguments.back();
  const auto verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                 [&](const Verb& one) { return first == one.name; });
  const bool known = verb != std::end(kVerbs);
  const bool json = std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
  return run_guarded(known ? first : "", json, [&] {
    check_verb(program, arguments);
    try {
      program.parse(arguments);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return program.exit(error);
      throw UsageError(usage_problem(innermost(program), error, known && verb->configurable));
    }
    common.overrides = overrides_of(innermost(program), verb->configurable);
    flags_to_overrides(verb->configurable, common);
    return runs[static_cast<size_t>(verb - std::begin(kVerbs))]();
  });
}
