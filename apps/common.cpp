#include "apps/common.h"

#include <ATen/Parallel.h>
#include <torch/cuda.h>

#include <cmath>
#include <cstdio>
#include <thread>

#include "pointwork/base/check.h"

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

void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

Loaded load(const std::string& path, const Common& common, bool needs_tokenizer) {
  const torch::Device device = choose_device(common);
  std::optional<torch::Dtype> dtype;
  if (common.precision == "bfloat16") dtype = torch::kBFloat16;
  if (common.precision == "float32") dtype = torch::kFloat32;
  Loaded loaded{open_checkpoint(path, [](const std::string& why) { note("warning: " + why); }),
                nullptr, std::nullopt};
  if (std::filesystem::exists(loaded.checkpoint.tokenizer())) {
    loaded.tokenizer = Tokenizer::load(loaded.checkpoint.tokenizer());
    check(loaded.checkpoint.tokenizer_hash == loaded.tokenizer->hash(), "checkpoint ",
          loaded.checkpoint.folder.string(),
          ": tokenizer.json is not the tokenizer it was trained with (its hash is ",
          loaded.tokenizer->hash(), ", expected ", loaded.checkpoint.tokenizer_hash, ")");
  }
  check(!needs_tokenizer || loaded.tokenizer.has_value(), "checkpoint ",
        loaded.checkpoint.folder.string(), " has no tokenizer.json");
  loaded.model = load_model(loaded.checkpoint, device, dtype);
  return loaded;
}

Json to_json_value(double number) { return std::isfinite(number) ? Json(number) : Json(nullptr); }

}  // namespace pointwork::app
