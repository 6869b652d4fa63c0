#pragma once
// What several verbs do the same way.

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "apps/verb.h"
#include "pointwork/checkpoint/checkpoint.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork::app {

using Json = nlohmann::ordered_json;

// Where to compute; sets the thread count on the way. Error where the device is not there.
torch::Device choose_device(const Common& common);

// One JSON document on standard output.
void print_json(const Json& document);

// A line for people, on standard error.
void note(const std::string& text);

// --routing inference|training.
void add_routing(CLI::App& command, std::string& routing);

// The model to read with, and its tokenizer.
struct Loaded {
  Checkpoint checkpoint;
  std::shared_ptr<Model> model;
  std::optional<Tokenizer> tokenizer;
};
Loaded load(const std::string& path, const Common& common, bool needs_tokenizer);

// What a checkpoint made of it has besides weights: its tokenizer and hashes, no trainer.
SaveContent content_of(const Loaded& loaded);

// Before any work is done for it: Error where the file to write is there and not to be replaced, is
// a folder or a device, or would lie in no folder.
void check_out_file(const std::string& out, bool force);

// What was found wrong with `subject`, as one line on standard error; for --json, the "error" of
// the document. Returns exit status 1.
Json failure_of(const std::string& verb, const std::string& subject,
                const std::vector<std::string>& problems);
int report_problems(const Json& failure);

Json to_json_value(double number);  // null where it is not finite

}  // namespace pointwork::app
