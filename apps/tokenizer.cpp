// tokenizer train | encode | decode | info

#include <charconv>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "apps/common.h"
#include "pointwork/base/check.h"
#include "pointwork/data/source.h"
#include "pointwork/files/file.h"
#include "pointwork/log/progress.h"
#include "pointwork/log/units.h"
#include "pointwork/text/bpe_trainer.h"
#include "pointwork/train/stop.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string tokenizer;
  bool ordinary = false, bounds = false, skip_special = false, lines = false;

  std::vector<std::string> inputs;
  int64_t vocab_size = 0;
  std::string out, field = "text", format = "auto", separator = "<|endoftext|>";
  bool replace_invalid = false, force = false;
};

class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

void heed_signals() {
  if (StopSignals::received() != 0) throw Interrupted();
}

// Gives every document to the trainer; returns the bytes of text.
int64_t read_all(const Options& options, const Common& common, BpeTrainer& trainer) {
  std::optional<Progress> bar;
  const SourceOptions source = {.format = input_format(options.format),
                                .field = options.field,
                                .separator = options.separator,
                                .replace_invalid = options.replace_invalid,
                                .note = [&](const std::string& text) {
                                  if (common.quiet) return;
                                  if (bar) {
                                    bar->message("note: " + text);
                                  } else {
                                    note("note: " + text);
                                  }
                                }};
  DocumentReader reader({options.inputs.begin(), options.inputs.end()}, source);
  bar.emplace("reading", static_cast<int64_t>(reader.bytes_total()), "B",
              DisplayOptions{.quiet = common.quiet});
  Document document;
  int64_t bytes = 0;
  while (reader.next(document)) {
    heed_signals();
    check(!reader.holds_tokens(), reader.place(),
          ": holds token ids, and a tokenizer is learnt from text");
    trainer.push(document.text);
    bytes += static_cast<int64_t>(document.text.size());
    bar->update(static_cast<int64_t>(reader.bytes_read()));
  }
  bar->finish();
  return bytes;
}

constexpr const char* kFile = "tokenizer.json";

// --force replaces a tokenizer, and nothing else.
void check_out(const Options& options) {
  namespace fs = std::filesystem;
  if (!fs::exists(options.out)) return;
  check(options.force, options.out, " is already there; --force replaces it");
  check(fs::is_directory(options.out), options.out, " is a file; --out is a folder to write");
  for (const auto& entry : fs::directory_iterator(options.out))
    check(entry.path().filename() == kFile, options.out, " holds more than a ", kFile, " (",
          entry.path().filename().string(), "), so it is not replaced");
}

void write_tokenizer(const Options& options, const Tokenizer& tokenizer) {
  write_folder(
      options.out,
      [&](const std::filesystem::path& folder) { write_file(folder / kFile, tokenizer.to_json()); },
      {.replace = options.force});
}

Json facts(const Tokenizer& tokenizer) {
  Json special = Json::object();
  const auto size = static_cast<int32_t>(tokenizer.vocab_size());
  size_t longest = 0;
  for (int32_t id = 0; id < size; ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    if (tokenizer.is_special(id)) {
      special[std::string(bytes)] = id;
    } else {
      longest = std::max(longest, bytes.size());
    }
  }
  return {{"vocab_size", size},
          {"special_tokens", special},
          {"ids_before", tokenizer.ids_before()},
          {"ids_after", tokenizer.ids_after()},
          {"longest_token_bytes", longest},
          {"hash", tokenizer.hash()}};
}

int learn(const Options& options, const Common& common) {
  const auto begin = std::chrono::steady_clock::now();
  check_out(options);
  const StopSignals signals;
  std::optional<Progress> bar;
  BpeTrainer trainer({.vocab_size = options.vocab_size,
                      .threads = common.threads,
                      .progress = [&](int64_t done, int64_t total) {
                        heed_signals();
                        if (!bar)
                          bar.emplace("learning", total, "tok",
                                      DisplayOptions{.quiet = common.quiet});
                        bar->update(done);
                      }});
  int64_t bytes = 0;
  std::optional<Tokenizer> tokenizer;
  try {
    bytes = read_all(options, common, trainer);
    tokenizer = trainer.train();
    bar->finish();
    write_tokenizer(options, *tokenizer);
  } catch (const Interrupted&) {
    note("interrupted: nothing was written");
    return 128 + StopSignals::received();
  }
  if (tokenizer->vocab_size() < options.vocab_size && !common.quiet) {
    note(concat("note: the text has no more pairs to learn: ", tokenizer->vocab_size(),
                " tokens, not ", options.vocab_size));
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (common.json) {
    Json json = {{"out", options.out}, {"seconds", seconds}, {"text_bytes", bytes}};
    json.update(facts(*tokenizer));
    print_json(json);
  } else if (!common.quiet) {
    std::printf("%s\n  %lld tokens, learnt from %s of text\n", options.out.c_str(),
                static_cast<long long>(tokenizer->vocab_size()),
                bytes_text(static_cast<double>(bytes)).c_str());
  }
  return 0;
}

std::string standard_input() {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  check(!std::cin.bad(), "standard input cannot be read");
  return text;
}

// The lines of standard input, each as JSON.
template <class Take>
void each_json_line(const Take& take) {
  int64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    check(!json.is_discarded(), "standard input, line ", number, ": not valid JSON");
    take(json, number);
  }
  check(!std::cin.bad(), "standard input cannot be read");
}

void print_ids(const std::vector<int32_t>& ids, bool json) {
  std::string out = json ? "[" : "";
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += json ? "," : " ";
    out += std::to_string(ids[i]);
  }
  out += json ? "]\n" : "\n";
  std::fwrite(out.data(), 1, out.size(), stdout);
}

int encode(const Options& options, const Common& common) {
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  const EncodeOptions how = {.special = !options.ordinary, .bounds = options.bounds};
  if (!options.lines) {
    print_ids(tokenizer.encode(standard_input(), how), common.json);
    return 0;
  }
  each_json_line([&](const Json& line, int64_t number) {
    check(line.is_string(), "standard input, line ", number, ": a text must be a JSON string");
    print_ids(tokenizer.encode(line.get<std::string>(), how), /*json=*/true);
  });
  return 0;
}

bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Numbers between white space, or a JSON array of them.
std::vector<int32_t> read_ids(std::string text) {
  const auto first = std::find_if_not(text.begin(), text.end(), is_white);
  if (first != text.end() && *first == '[') {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    check(json.is_array(), "standard input begins with [ but is no JSON array of ids");
    std::string plain;
    for (const Json& id : json)
      plain += id.dump(-1, ' ', false, Json::error_handler_t::replace) + " ";
    text = std::move(plain);
  }
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    if (is_white(text[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && !is_white(text[end])) ++end;
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    check(error == std::errc() && stop == text.data() + end && id >= 0,
          "standard input must be token ids, found '",
          text.substr(at, std::min<size_t>(end - at, 40)), "' as number ", ids.size() + 1);
    ids.push_back(id);
    at = end;
  }
  return ids;
}

int decode(const Options& options, const Common& common) {
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  if (options.lines) {
    each_json_line([&](const Json& line, int64_t) {
      print_json(tokenizer.decode(read_ids(line.dump()), options.skip_special));
    });
    return 0;
  }
  const std::string text = tokenizer.decode(read_ids(standard_input()), options.skip_special);
  if (common.json) {
    print_json({{"text", text}});
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return 0;
}

int info(const Options& options, const Common& common) {
  const Json json = facts(Tokenizer::load(options.tokenizer));
  if (common.json) {
    print_json(json);
    return 0;
  }
  std::printf("vocab_size           %lld\n",
              static_cast<long long>(json["vocab_size"].get<int64_t>()));
  for (const auto& [token, id] : json["special_tokens"].items())
    std::printf("special token        %s = %d\n", token.c_str(), id.get<int32_t>());
  for (const char* side : {"before", "after"}) {
    const Json& ids = json[concat("ids_", side)];
    if (!ids.empty())
      std::printf("%-20s %s\n", concat("put ", side, " a text").c_str(), ids.dump().c_str());
  }
  std::printf("longest token        %zu bytes\n", json["longest_token_bytes"].get<size_t>());
  std::printf("hash                 %s\n", json["hash"].get<std::string>().c_str());
  return 0;
}

void add_train_options(CLI::App& command, Options& o) {
  command
      .add_option("INPUT", o.inputs,
                  "text files, JSON lines or folders; also .gz .bz2 .xz .zst .tar .zip")
      ->required();
  command
      .add_option("--vocab-size", o.vocab_size,
                  "tokens in all, at least 257: 256 bytes, <|endoftext|>, and what is learnt")
      ->type_name("N")
      ->check(whole_number(1))
      ->required();
  command.add_option("--out", o.out, "the folder to write tokenizer.json to")
      ->type_name("DIR")
      ->required();
  command.add_option("--field", o.field, "of JSON lines: the field that holds the text")
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option("--format", o.format,
                  "auto, text, jsonl or wikiextractor; auto: by ending and first bytes")
      ->type_name("FORMAT")
      ->capture_default_str();
  command
      .add_option("--separator", o.separator,
                  "a line of a text file that divides documents; \"\": none")
      ->type_name("LINE")
      ->capture_default_str();
  command.add_flag("--replace-invalid", o.replace_invalid,
                   "read bytes that are not UTF-8 as U+FFFD instead of refusing them");
  command.add_flag("--force", o.force, "replace a tokenizer that is there");
  command.footer(
      "Ids are as GPT-2's: bytes, then tokens in the order learnt; <|endoftext|> is the last id. "
      "Inputs may be larger than memory.\n"
      "Examples:\n"
      "  pointwork tokenizer train quickstart/bible/corpus.txt --vocab-size 4096 --out tokenizer\n"
      "  pointwork tokenizer train README.md docs/*.md --vocab-size 512 --out tokenizer --force "
      "--json");
}

}  // namespace

Run add_tokenizer(CLI::App& command, Common& common) {
  command.require_subcommand(1);
  command.footer(
      "Examples:\n"
      "  pointwork tokenizer info quickstart/bible/tokenizer\n"
      "  echo 'Hello world' | pointwork tokenizer encode quickstart/bible/tokenizer");
  const auto o = std::make_shared<Options>();
  const auto sub = [&](const char* name, const char* about) {
    CLI::App* one = command.add_subcommand(name, about);
    one->allow_extras();
    return one;
  };
  CLI::App* train = sub("train", "learn a byte-level BPE from text; writes OUT/tokenizer.json");
  CLI::App* encodes = sub("encode", "text on standard input to token ids on standard output");
  CLI::App* decodes =
      sub("decode", "token ids on standard input to text on standard output, byte for byte");
  CLI::App* infos = sub("info", "say what a tokenizer holds");
  add_train_options(*train, *o);
  for (CLI::App* one : {encodes, decodes, infos})
    one->add_option("TOKENIZER", o->tokenizer,
                    "a tokenizer.json, a SentencePiece .model, a llama2.c tokenizer .bin, or a "
                    "folder that holds one of the first two")
        ->required();
  encodes->add_flag("--ordinary", o->ordinary,
                    "special tokens written in the text are ordinary text");
  encodes->add_flag("--bounds", o->bounds,
                    "also the ids that the tokenizer's file puts before and after a text");
  encodes->add_flag("--jsonl", o->lines,
                    "each line is a JSON string, a text of its own; prints one array a line");
  encodes->footer(
      "Any bytes can be encoded, and decode gives them back where the tokenizer is a byte-level "
      "BPE without normalisation; elsewhere bytes that are no UTF-8 are U+FFFD. Ids are separated "
      "by white space; "
      "with "
      "--json they are an array.\n"
      "Examples:\n"
      "  pointwork tokenizer encode quickstart/bible/tokenizer < README.md > ids.txt\n"
      "  echo 'Hello world' | pointwork tokenizer encode quickstart/bible/tokenizer --json");
  decodes->add_flag("--skip-special", o->skip_special, "leave special tokens out");
  decodes->add_flag("--jsonl", o->lines,
                    "each line is an array of ids; prints one JSON string a line");
  decodes->footer(
      "Takes ids separated by white space, or a JSON array of them. With --json the answer is "
      "{\"text\": ...}, in which bytes that are\n"
      "not UTF-8 are U+FFFD.\n"
      "Examples:\n"
      "  echo 39 68 75 75 78 | pointwork tokenizer decode quickstart/bible/tokenizer\n"
      "  echo '[39, 68, 75, 75, 78]' | pointwork tokenizer decode quickstart/bible/tokenizer "
      "--skip-special --json");
  infos->footer(
      "Examples:\n"
      "  pointwork tokenizer info quickstart/bible/tokenizer\n"
      "  pointwork tokenizer info quickstart/bible/data/tokenizer.json --json");
  return [=, &common] {
    if (train->parsed()) return learn(*o, common);
    if (encodes->parsed()) return encode(*o, common);
    if (decodes->parsed()) return decode(*o, common);
    check(infos->parsed(), "tokenizer needs train, encode, decode or info");
    return info(*o, common);
  };
}

}  // namespace pointwork::app
