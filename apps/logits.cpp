// logits: every logit and every route of given token ids, for parity checks and the curious.

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "apps/common.h"
#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/route/trace.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string path, ids, out, routing = "inference";
  bool force = false;
};

std::vector<std::vector<int32_t>> read_ids(const std::string& path, int64_t vocab) {
  Json json;
  try {
    json = Json::parse(read_file(path));
  } catch (const nlohmann::json::exception&) {
    fail("--ids ", path, ": not JSON, expected [[1, 2, …], …]");
  }
  check(json.is_array() && !json.empty(), "--ids ", path,
        ": expected a list of lists of token ids, [[1, 2, …], …]");
  std::vector<std::vector<int32_t>> rows;
  for (const Json& row : json) {
    check(row.is_array() && !row.empty(), "--ids ", path, ": sequence ", rows.size(),
          " must be a list of at least one token id");
    check(rows.empty() || row.size() == rows[0].size(), "--ids ", path, ": sequence ", rows.size(),
          " has ", row.size(), " tokens, but the first has ", rows.empty() ? 0 : rows[0].size(),
          "; all must have the same");
    rows.emplace_back();
    for (const Json& id : row) {
      const bool good =
          id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < vocab;
      check(good, "--ids ", path, ": sequence ", rows.size() - 1, " holds ",
            id.dump().substr(0, 40), ", expected a token id of 0 .. ", vocab - 1);
      rows.back().push_back(id.get<int32_t>());
    }
  }
  return rows;
}

// entered uint8, weight and decision float32, each [B, S]; NaN where there is none. Of token choice
// also choice int32 [B, S, k].
void add_routes(const std::vector<Route>& routes, int64_t batch, int64_t length,
                TensorMap& tensors) {
  for (const LayerTrace& layer : trace_routes(routes, batch * length)) {
    const auto add = [&](const std::string& what, const auto& values, torch::Dtype dtype) {
      tensors["routes." + layer.name + "." + what] =
          torch::from_blob(const_cast<void*>(static_cast<const void*>(values.data())),
                           {batch, length}, dtype)
              .clone();
    };
    add("entered", layer.entered, torch::kUInt8);
    add("weight", layer.weight, torch::kFloat32);
    add("decision", layer.decision, torch::kFloat32);
    if (layer.experts == 0) continue;
    tensors["routes." + layer.name + ".choice"] =
        torch::tensor(layer.choice, torch::kInt32).view({batch, length, layer.top_k});
  }
}

// A temporary beside it, then a rename: the file appears whole or not at all.
void write_tensors(const std::string& out, const TensorMap& tensors) {
  const std::filesystem::path temporary = concat(out, ".tmp-", getpid());
  try {
    save_tensors(temporary, tensors);
    std::filesystem::rename(temporary, out);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

int run(const Options& options, const Common& common) {
  check_out_file(options.out, options.force);
  const Loaded loaded = load(options.path, common, false);
  const ModelConfig& config = loaded.checkpoint.config.model;
  const auto rows = read_ids(options.ids, config.vocab_size);
  const auto batch = static_cast<int64_t>(rows.size()),
             length = static_cast<int64_t>(rows[0].size());
  check(config.position_embedding != PositionEmbedding::learned ||
            length <= config.max_position_embeddings,
        "--ids ", options.ids, ": sequences have ", length,
        " tokens but the model's learned positions end at ", config.max_position_embeddings);

  const torch::NoGradGuard no_grad;
  std::vector<int32_t> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  const Tensor token = torch::tensor(flat, torch::kInt32).to(loaded.model->device());
  Context ctx{.rows = uniform_rows(batch, length, loaded.model->device()),
              .routing = options.routing == "training" ? Routing::training : Routing::inference,
              .step = loaded.checkpoint.step,
              .seed = static_cast<uint64_t>(
                  common.seed >= 0 ? common.seed : loaded.checkpoint.config.train.seed)};
  const ModelOutput out = loaded.model->forward(token, ctx);
  TensorMap tensors{
      {"logits", loaded.model->logits(out.hidden).view({batch, length, config.vocab_size})}};
  add_routes(out.routes, batch, length, tensors);
  write_tensors(options.out, tensors);
  if (common.json) {
    Json names = Json::array();
    for (const auto& [name, tensor] : tensors)
      names.push_back({{"name", name}, {"shape", tensor.sizes().vec()}});
    print_json({{"out", options.out}, {"tensors", names}});
  } else if (!common.quiet) {
    note(concat("wrote ", options.out, ": logits [", batch, ", ", length, ", ", config.vocab_size,
                "] and ", tensors.size() - 1, " tensors of routes"));
  }
  return 0;
}

}  // namespace

Run add_logits(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command
      .add_option("CHECKPOINT", o->path,
                  "a checkpoint, a run (its newest valid checkpoint), or a Hugging Face folder")
      ->required();
  command
      .add_option("--ids", o->ids,
                  "a JSON file of token ids, [[1, 2, …], …], all sequences of one length")
      ->type_name("FILE.json")
      ->required();
  command
      .add_option("--out", o->out,
                  "a .safetensors file: logits [B, S, V] float32, routes.LAYER.{entered, weight, "
                  "decision} [B, S]")
      ->type_name("FILE.safetensors")
      ->required();
  add_routing(command, o->routing);
  command.add_flag("--force", o->force, "replace --out if it exists");
  command.footer(
      "Examples:\n"
      "  echo '[[1, 2, 3]]' > ids.json; pointwork logits quickstart/bible/mod --ids ids.json --out "
      "logits.safetensors\n"
      "  echo '[[1, 2, 3]]' > ids.json; pointwork logits quickstart/bible/mod --ids ids.json --out "
      "training.safetensors --routing training");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
