// Loading weights and verifying them, in GB/s from the page cache, beside copying as many bytes.
//
//   checkpoint_bench [--json] [FOLDER]
//
// FOLDER is a checkpoint of ours or of Hugging Face's layout; without one a llama of 110 M
// parameters is made, in both. bench/peers/checkpoint.py runs this beside safetensors and
// transformers.

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/floor.h"
#include "pointwork/base/check.h"
#include "pointwork/checkpoint/exchange.h"
#include "pointwork/config/config.h"
#include "pointwork/files/manifest.h"
#include "pointwork/model/model.h"
#include "tests/support/data.h"

namespace pointwork::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLlama = R"(
[model]
vocab_size = 32000
hidden_size = 768
num_hidden_layers = 12
max_position_embeddings = 2048
norm = "rmsnorm"
position_embedding = "none"
tie_word_embeddings = true
layers = ["dense"]
[branch.attention]
kind = "attention"
num_attention_heads = 12
num_key_value_heads = 4
rope_theta = 10000.0
[branch.mlp]
kind = "mlp"
intermediate_size = 2048
hidden_act = "swiglu"
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
)";

struct Timed {
  std::string what;
  double seconds, floor;  // floor: of copying as many bytes
  double gigabytes;
};

uint64_t size_of(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& file : fs::recursive_directory_iterator(folder))
    bytes += file.is_regular_file() ? file.file_size() : 0;
  return bytes;
}

void measure(const fs::path& folder, std::vector<Timed>& all) {
  const bool ours = fs::exists(folder / kManifestFile);
  const double bytes = static_cast<double>(size_of(folder)), copy = seconds_to_copy(2 * bytes);
  const auto add = [&](const std::string& what, const auto& run) {
    all.push_back({what, fastest(run), copy, bytes / 1e9});
  };
  if (ours) {
    add("verify (XXH3-128, one thread)",
        [&] { check(verify_manifest(folder).problems.empty(), folder.string(), " is damaged"); });
    const Checkpoint opened = open_checkpoint(folder);
    add("load ours, verified before", [&] { load_model(opened, torch::kCPU); });
    add("open ours: verify, then load", [&] { load_model(open_checkpoint(folder), torch::kCPU); });
  } else {
    add("open and load Hugging Face's", [&] { load_model(open_checkpoint(folder), torch::kCPU); });
  }
}

void run(const std::string& folder, bool json) {
  std::vector<Timed> all;
  if (!folder.empty()) {
    measure(folder, all);
  } else {
    const test::TemporaryFolder scratch;
    const fs::path ours = scratch.path() / "ours", theirs = scratch.path() / "theirs";
    Model model(parse_config(kLlama, "bench"));
    initialise(model, 1);
    save_checkpoint(ours, model, {});
    exchange(open_checkpoint(ours), theirs, {.format = ModelFormat::hugging_face});
    measure(ours, all);
    measure(theirs, all);
  }
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const Timed& one : all) {
    lines.push_back({{"what", one.what},
                     {"bytes_per_second", 1e9 * one.gigabytes / one.seconds},
                     {"copy_bytes_per_second", 1e9 * one.gigabytes / one.floor}});
    if (!json)
      std::printf("%-32s %6.2f GB  %7.3f s  %6.2f GB/s  %5.2f of copying\n", one.what.c_str(),
                  one.gigabytes, one.seconds, one.gigabytes / one.seconds, one.floor / one.seconds);
  }
  if (json) std::printf("%s\n", lines.dump().c_str());
}

}  // namespace
}  // namespace pointwork::bench

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = std::erase(arguments, "--json") > 0;
  arguments.resize(1);
  try {
    pointwork::bench::run(arguments[0], json);
  } catch (const pointwork::Error& error) {
    std::fprintf(stderr, "checkpoint_bench: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
