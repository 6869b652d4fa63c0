#include "apps/common.h"

#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <cmath>
#include <cstdio>
#include <thread>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"

namespace pointwork::app {

torch::Device choose_device(const Common& common) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  at::set_num_threads(common.threads > 0 ? common.threads : cores);
  const bool cuda = common.device != "cpu" && torch::cuda::is_available();
  check(
      common.device != "cuda" || cuda,
      "--device cuda: this build of LibTorch finds no CUDA device (`pointwork doctor` says more)");
  return cuda ? torch::Device(torch::kCUDA, 0) : torch::Device(torch::kCPU);
}

void print_json(const Json& document) {
  std::printf("%s\n",
              document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void note(const std::string& text) {
  std::fflush(stdout);  // what was said before stands before it
  std::fprintf(stderr, "%s\n", text.c_str());
}

void add_routing(CLI::App& command, std::string& routing) {
  command
      .add_option("--routing", routing,
                  "inference: causal, what a served model does; training: top-k over the sequence")
      ->type_name("inference|training")
      ->check(one_of({"inference", "training"}))
      ->capture_default_str();
}

Loaded load(const std::string& path, const Common& common, bool needs_tokenizer) {
  const torch::Device device = choose_device(common);
  std::optional<torch::Dtype> dtype;
  if (common.precision == "bfloat16") dtype = torch::kBFloat16;
  if (common.precision == "float32") dtype = torch::kFloat32;
  std::vector<std::string> warnings;  // told once nothing is wrong besides
  Loaded loaded{
      open_checkpoint(path, [&](const std::string& why) { warnings.push_back("warning: " + why); }),
      nullptr, std::nullopt};
  // One of others that cannot be read: the ids still mean something to the model.
  const bool unread = loaded.checkpoint.foreign && loaded.checkpoint.tokenizer_hash.empty();
  if (std::filesystem::exists(loaded.checkpoint.tokenizer()) && (!unread || needs_tokenizer)) {
    loaded.tokenizer = Tokenizer::load(loaded.checkpoint.tokenizer());
    check(loaded.checkpoint.tokenizer_hash == loaded.tokenizer->hash(), "checkpoint ",
          loaded.checkpoint.folder.string(),
          ": tokenizer.json is not the tokenizer it was trained with (its hash is ",
          loaded.tokenizer->hash(), ", expected ", loaded.checkpoint.tokenizer_hash, ")");
  }
  check(!needs_tokenizer || loaded.tokenizer.has_value(), "checkpoint ",
        loaded.checkpoint.folder.string(), " has no tokenizer.json");
  for (const std::string& warning : warnings) note(warning);
  loaded.model = load_model(loaded.checkpoint, device, dtype);
  return loaded;
}

SaveContent content_of(const Loaded& loaded) {
  SaveContent content{.step = 0,
                      .tokenizer = loaded.tokenizer ? loaded.tokenizer->to_json() : "",
                      .tokenizer_hash = loaded.checkpoint.tokenizer_hash,
                      .dataset_hash = loaded.checkpoint.dataset_hash,
                      .end_of_text = {},
                      .trainer = {},
                      .carried = loaded.checkpoint.carried,
                      .tokenizer_settings = loaded.checkpoint.tokenizer_settings};
  if (loaded.tokenizer) content.end_of_text = loaded.tokenizer->find_end_of_text();
  return content;
}

void check_out_file(const std::string& out, bool force) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status there = fs::status(out, error);
  check(!fs::is_directory(there), out, " is a folder, expected a file to write");
  check(!fs::exists(there) || fs::is_regular_file(there), out,
        " is no regular file, expected a file to write");
  check(force || !fs::exists(there), out, " exists already (--force replaces it)");
  const fs::path folder = fs::absolute(out, error).parent_path();
  check(fs::is_directory(folder, error), "cannot write ", out, ": there is no folder ",
        fs::path(out).has_parent_path() ? fs::path(out).parent_path().string() : folder.string());
}

Json failure_of(const std::string& verb, const std::string& subject,
                const std::vector<std::string>& problems) {
  const size_t more = problems.size() - 1;
  const std::string message = concat(subject, ": ", problems.front(),
                                     more ? concat(" (and ", more, " more)") : std::string());
  return {{"verb", verb}, {"message", printable(message, 2000)}};
}

int report_problems(const Json& failure) {
  std::fflush(stdout);
  note(concat("pointwork ", failure["verb"].get<std::string>(),
              ": error: ", failure["message"].get<std::string>()));
  return 1;
}

Json to_json_value(double number) { return std::isfinite(number) ? Json(number) : Json(nullptr); }

}  // namespace pointwork::app
