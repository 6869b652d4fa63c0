// prepare: text of any kind → a data set of token shards.

#include "pointwork/data/prepare.h"

#include <chrono>
#include <cstdio>

#include "apps/common.h"
#include "pointwork/base/check.h"
#include "pointwork/data/describe.h"
#include "pointwork/log/progress.h"
#include "pointwork/log/units.h"
#include "pointwork/train/stop.h"

namespace pointwork::app {
namespace {

struct Options {
  std::vector<std::string> inputs;
  std::string tokenizer, out, field = "text", format = "auto", separator = "<|endoftext|>";
  double validation = 0.01;
  bool replace_invalid = false, force = false;
};

class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

std::string counted(int64_t count, const char* what) {
  return concat(count_text(static_cast<double>(count)), " ", what, count == 1 ? "" : "s");
}

// Opened on the first report, when the size of the inputs is known.
class Watcher {
 public:
  explicit Watcher(bool quiet) : quiet_(quiet) {}

  void show(const PrepareProgress& now) {
    if (StopSignals::received() != 0) throw Interrupted();
    if (!bar_)
      bar_.emplace("preparing", static_cast<int64_t>(now.bytes_total), "B",
                   DisplayOptions{.quiet = quiet_});
    bar_->update(static_cast<int64_t>(now.bytes_done),
                 concat(counted(now.documents, "document"), ", ", counted(now.tokens, "token")));
  }
  void say(const std::string& text) {
    if (bar_) {
      bar_->message(text);
    } else {
      note(text);
    }
  }
  void finish() {
    if (bar_) bar_->finish();
  }

 private:
  bool quiet_;
  std::optional<Progress> bar_;
};

void print_split(const char* name, const SplitManifest& split) {
  std::printf("  %-12s%s in %s, %.2f bytes a token\n", name, counted(split.tokens, "token").c_str(),
              counted(split.documents, "document").c_str(),
              static_cast<double>(split.source_bytes) /
                  static_cast<double>(std::max<int64_t>(split.tokens, 1)));
}

int run(const Options& options, const Common& common) {
  const auto begin = std::chrono::steady_clock::now();
  const InputFormat format = input_format(options.format);
  const StopSignals signals;
  Watcher watcher(common.quiet);
  const PrepareOptions job = {
      .inputs = {options.inputs.begin(), options.inputs.end()},
      .out = options.out,
      .source = {.format = format,
                 .field = options.field,
                 .separator = options.separator,
                 .replace_invalid = options.replace_invalid,
                 .note = [&](const std::string& text) { watcher.say("note: " + text); }},
      .validation_share = options.validation,
      .seed = common.seed >= 0 ? common.seed : 1,
      .threads = common.threads,
      .replace = options.force,
      .progress = [&](const PrepareProgress& now) { watcher.show(now); }};
  Manifest manifest;
  try {
    manifest = prepare(job, text_encoder(Tokenizer::load(options.tokenizer)));
  } catch (const Interrupted&) {
    note("interrupted: nothing was written");
    return 128 + StopSignals::received();
  }
  watcher.finish();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (common.json) {
    Json json = {{"out", options.out}, {"seconds", seconds}};
    json.update(describe_dataset(options.out).facts);
    print_json(json);
  } else if (!common.quiet) {
    std::printf("%s\n", options.out.c_str());
    print_split("train", manifest.train);
    print_split("validation", manifest.validation);
  }
  return 0;
}

}  // namespace

Run add_prepare(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command
      .add_option(
          "INPUT", o->inputs,
          "text files, JSON lines, token files (.bin) or folders; also .gz .bz2 .xz .zst .tar .zip")
      ->required();
  command.add_option("--tokenizer", o->tokenizer, "a tokenizer.json, or a folder that holds one")
      ->type_name("PATH")
      ->required();
  command.add_option("--out", o->out, "the folder to write")->type_name("DIR")->required();
  command
      .add_option("--validation", o->validation,
                  "share of the documents held out for validation; 0: none")
      ->type_name("SHARE")
      ->check(number("of at least 0 and below 1", [](double s) { return s >= 0 && s < 1; }))
      ->capture_default_str();
  command.add_option("--field", o->field, "of JSON lines: the field that holds the text")
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option(
          "--format", o->format,
          "auto, text, jsonl, wikiextractor, nanogpt or llmc; auto: by ending and first bytes")
      ->type_name("FORMAT")
      ->capture_default_str();
  command
      .add_option("--separator", o->separator,
                  "a line of a text file that divides documents; \"\": none")
      ->type_name("LINE")
      ->capture_default_str();
  command.add_flag("--replace-invalid", o->replace_invalid,
                   "read bytes that are not UTF-8 as U+FFFD instead of refusing them");
  command.add_flag("--force", o->force, "replace a data set that is there");
  command.footer(
      "A text file is a document, a JSON line is one; an end-of-text token follows each. Documents "
      "go whole to training or to\n"
      "validation, by --seed. Inputs may be larger than memory. The folder appears whole or not at "
      "all.\n"
      "Examples:\n"
      "  pointwork prepare quickstart/bible/corpus.txt --tokenizer quickstart/bible/tokenizer "
      "--out "
      "data/bible --validation 0.02\n"
      "  pointwork prepare README.md docs/*.md --tokenizer quickstart/bible/tokenizer --out "
      "data/docs --validation 0 --json");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
