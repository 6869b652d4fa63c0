// convert: one model made another.

#include <cstdio>

#include "apps/assemble.h"
#include "apps/common.h"
#include "apps/figures.h"
#include "pointwork/base/check.h"
#include "pointwork/checkpoint/exchange.h"
#include "pointwork/checkpoint/llama2c.h"
#include "pointwork/files/file.h"
#include "pointwork/files/manifest.h"
#include "pointwork/model/to_mod.h"
#include "pointwork/model/upcycle.h"
#include "pointwork/model/weightless.h"
#include "pointwork/train/machine.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  AssembleFlags assembly;
  std::string from, to, format, dtype, shard_size = "50GB", tokenizer;
  int64_t experts = 0, top_k = 1, every = 2, offset = -1, capacity_steps = 1000;
  double capacity_factor = 0, noise = 0, capacity = 0;
  bool force = false;
};

// --force replaces a checkpoint, and nothing else.
void check_target(const Options& options) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(options.to, error))) return;
  check(options.force, options.to, " exists already (--force replaces it)");
  const fs::path to = options.to;
  check(fs::exists(to / kManifestFile) || is_hugging_face(to), options.to,
        " is no checkpoint, so --force does not replace it");
}

LayerPeriod period_of(const Options& options) {
  const int64_t offset = options.offset >= 0 ? options.offset : options.every - 1;
  if (offset >= options.every)
    throw UsageError(
        concat("--offset must be below --every, ", options.every, ", found '", offset, "'"));
  return {.every = options.every, .offset = offset};
}

uint64_t seed_of(const Common& common, const Config& config) {
  return static_cast<uint64_t>(common.seed >= 0 ? common.seed : config.train.seed);
}

UpcycleOptions upcycle_options(const Options& options, const Common& common, const Config& config) {
  return {.experts = options.experts,
          .top_k = options.top_k,
          .layers = period_of(options),
          .capacity_factor = options.capacity_factor,
          .noise = options.noise,
          .seed = seed_of(common, config)};
}

// Counted before it takes memory: weights are drawn in float32.
void check_memory(const Config& config, torch::Device device) {
  if (!device.is_cpu()) return;
  const Weightless weightless;
  const double need = 4 * static_cast<double>(Model(config).parameter_count());
  const auto have = static_cast<double>(available_memory_bytes(device));
  check(need <= have, "the model would take ", in_bytes(need), " of memory, and ", in_bytes(have),
        " are free; fewer experts, or a larger --every");
}

std::string listed(const std::vector<int64_t>& layers) {
  std::string text;
  for (const int64_t layer : layers) text += (text.empty() ? "" : ", ") + std::to_string(layer);
  return text;
}

int make_mod(const Options& options, const Common& common) {
  check_target(options);
  const Loaded loaded = load(options.from, common, false);
  const Config& config = loaded.checkpoint.config;
  const ToModOptions how{.capacity = options.capacity,
                         .layers = period_of(options),
                         .steps = options.capacity_steps,
                         .seed = seed_of(common, config)};
  const std::vector<int64_t> layers = chosen_layers(config.model, how.layers);
  const std::shared_ptr<Model> model = to_mod(*loaded.model, how);
  save_checkpoint(options.to, *model, content_of(loaded), options.force);
  if (common.json) {
    print_json({{"checkpoint", options.to},
                {"from", loaded.checkpoint.folder.string()},
                {"layers", layers},
                {"capacity", how.capacity},
                {"capacity_steps", how.steps}});
  } else if (!common.quiet) {
    std::printf(
        "%s: Mixture-of-Depths of capacity %g, from 1 in %lld steps, in layers %s of %lld\n",
        options.to.c_str(), how.capacity, static_cast<long long>(how.steps), listed(layers).c_str(),
        static_cast<long long>(config.model.num_hidden_layers));
  }
  return 0;
}

int upcycle(const Options& options, const Common& common) {
  check_target(options);
  const Loaded loaded = load(options.from, common, false);
  const Config& config = loaded.checkpoint.config;
  const UpcycleOptions how = upcycle_options(options, common, config);
  const std::vector<int64_t> layers = chosen_layers(config.model, how.layers);
  check_memory(upcycled(config, how), loaded.model->device());
  const std::shared_ptr<Model> model = pointwork::upcycle(*loaded.model, how);

  save_checkpoint(options.to, *model, content_of(loaded), options.force);

  const auto before = static_cast<double>(loaded.model->parameter_count());
  const ModelFlops figures = model_flops(*model, config.train.sequence_length, 0);
  if (common.json) {
    print_json({{"checkpoint", options.to},
                {"from", loaded.checkpoint.folder.string()},
                {"layers", layers},
                {"experts", how.experts},
                {"top_k", how.top_k},
                {"parameters", static_cast<int64_t>(figures.parameters)},
                {"active_parameters", static_cast<int64_t>(figures.active_parameters)},
                {"parameters_before", static_cast<int64_t>(before)}});
  } else if (!common.quiet) {
    std::printf(
        "%s: %lld experts, top %lld, in layers %s of %lld; %s parameters (%s active), from %s\n",
        options.to.c_str(), static_cast<long long>(how.experts), static_cast<long long>(how.top_k),
        listed(layers).c_str(), static_cast<long long>(config.model.num_hidden_layers),
        in_units(figures.parameters).c_str(), in_units(figures.active_parameters).c_str(),
        in_units(before).c_str());
  }
  return 0;
}

std::optional<torch::Dtype> dtype_of_option(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "float64") return torch::kFloat64;
  if (name == "bfloat16") return torch::kBFloat16;
  return name == "float16" ? torch::kFloat16 : torch::kFloat32;
}

// "5GB", "200MB", "800KB": of 10^9, 10^6, 10^3 bytes.
uint64_t bytes_of_option(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  const double scale = unit == "GB" ? 1e9 : unit == "MB" ? 1e6 : unit == "KB" ? 1e3 : 0;
  if (end == text.c_str() || scale == 0 || !(value > 0) || value * scale > 1e18)
    throw UsageError(
        concat("--shard-size must be a number above 0 with KB, MB or GB, found '", text, "'"));
  return static_cast<uint64_t>(value * scale);
}

// llama2.c keeps a tokenizer beside its models: tok512.bin of 512 tokens, or tokenizer.bin.
fs::path tokenizer_beside(const Options& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  const fs::path folder = fs::path(options.from).parent_path();
  const int64_t size = Llama2cFile(options.from).config().model.vocab_size;
  std::error_code error;
  for (const std::string& name : {concat("tok", size, ".bin"), std::string("tokenizer.bin")}) {
    if (fs::is_regular_file(folder / name, error)) return folder / name;
  }
  return {};
}

// The same model in another form.
int rewrite(const Options& options, const Common& common) {
  ExchangeOptions how{.dtype = dtype_of_option(options.dtype),
                      .shard_bytes = bytes_of_option(options.shard_size),
                      .replace = options.force};
  check_target(options);
  ExchangeResult made;
  std::error_code error;
  const bool file = fs::is_regular_file(options.from, error);
  if (!file && !options.tokenizer.empty())
    throw UsageError("--tokenizer is for a file of llama2.c; a folder has its own");
  if (file) {
    if (options.format == "huggingface")
      throw UsageError(
          "a file of llama2.c becomes a checkpoint of Pointwork first: leave out --format");
    made = convert_llama2c(options.from, tokenizer_beside(options), options.to, how);
  } else {
    const Checkpoint from =
        open_checkpoint(options.from, [](const std::string& why) { note("warning: " + why); });
    const bool to_ours =
        options.format.empty() ? from.foreign != nullptr : options.format == "pointwork";
    how.format = to_ours ? ModelFormat::pointwork : ModelFormat::hugging_face;
    made = exchange(from, options.to, how);
    if (!to_ours && made.model_type == "pointwork" && !common.quiet)
      note("no class of transformers computes this: config.json says model_type \"pointwork\"");
  }
  if (common.json) {
    print_json({{"checkpoint", options.to},
                {"from", options.from},
                {"model_type", made.model_type},
                {"tensors", made.tensors},
                {"files", made.files},
                {"bytes", made.bytes}});
  } else if (!common.quiet) {
    std::printf("%s: %s, %lld tensors, %s in %lld file%s, from %s\n", options.to.c_str(),
                made.model_type.c_str(), static_cast<long long>(made.tensors),
                in_bytes(static_cast<double>(made.bytes)).c_str(),
                static_cast<long long>(made.files), made.files == 1 ? "" : "s",
                options.from.c_str());
  }
  return 0;
}

int run(const Options& options, const Common& common) {
  const bool assembles = !options.assembly.config.empty();
  if (assembles + (options.experts > 0) + (options.capacity > 0) > 1)
    throw UsageError("--assemble, --to-mod and --upcycle are conversions: give one of them");
  // --seed and --precision are keys, too, and come last.
  const size_t by_flags = (common.seed >= 0) + !common.precision.empty();
  if (!assembles && common.overrides.size() > by_flags)
    throw UsageError(concat("--", common.overrides.front().key,
                            ": without --assemble this verb reads no configuration, so it has no "
                            "such key"));
  if (options.capacity > 0) return make_mod(options, common);
  if (options.experts > 0) return upcycle(options, common);
  if (!assembles) return rewrite(options, common);
  check_target(options);
  return assemble(options.assembly, options.from, options.to, options.force, common);
}

}  // namespace

Run add_convert(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command
      .add_option("FROM", o->from,
                  "a checkpoint, a run (its newest valid checkpoint), a Hugging Face folder, or a "
                  ".bin of llama2.c")
      ->required();
  command.add_option("TO", o->to, "the folder to write")->required();
  command
      .add_option("--format", o->format,
                  "whose layout TO has (default: that which FROM has not). Hugging Face's is the "
                  "class that computes the same; where there is none, ours with its config.json")
      ->type_name("pointwork|huggingface")
      ->check(one_of({"pointwork", "huggingface"}));
  command.add_option("--dtype", o->dtype, "of the weights (default: as they are)")
      ->type_name("float32|bfloat16|float16|float64")
      ->check(one_of({"float32", "bfloat16", "float16", "float64"}));
  command
      .add_option("--shard-size", o->shard_size,
                  "most bytes of a .safetensors file in Hugging Face's layout")
      ->type_name("SIZE")
      ->capture_default_str();
  command
      .add_option("--tokenizer", o->tokenizer,
                  "llama2.c's tokenizer (default: the tokN.bin or tokenizer.bin beside FROM)")
      ->type_name("FILE");
  command
      .add_option("--upcycle", o->experts,
                  "make the mlp of every other layer this many experts, each a copy of it")
      ->type_name("E")
      ->check(whole_number(2, 1 << 16));
  command.add_option("--top-k", o->top_k, "experts of a token")
      ->type_name("K")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  command.add_option("--every", o->every, "one layer of this many is converted; 1: all")
      ->type_name("N")
      ->check(whole_number(1, 4096))
      ->capture_default_str();
  command
      .add_option("--offset", o->offset,
                  "the first layer that is converted, from 0 (default: the last of --every)")
      ->type_name("N")
      ->check(whole_number(0, 4095));
  command
      .add_option("--capacity-factor", o->capacity_factor,
                  "of training, where some tokens are then dropped (default: dropless)")
      ->type_name("F")
      ->check(number("above 0", [](double f) { return f > 0; }));
  command
      .add_option("--noise", o->noise,
                  "what each expert's matrices differ by at first, in their root mean squares")
      ->type_name("S")
      ->check(number("of at least 0", [](double s) { return s >= 0; }))
      ->capture_default_str();
  command
      .add_option("--to-mod", o->capacity,
                  "make every other layer a Mixture-of-Depths block of this capacity, whose first "
                  "step computes what the dense model did")
      ->type_name("CAPACITY")
      ->check(number("above 0 and at most 1", [](double c) { return c > 0 && c <= 1; }));
  command
      .add_option("--capacity-steps", o->capacity_steps,
                  "steps in which the capacity of --to-mod falls there from 1")
      ->type_name("N")
      ->check(whole_number(0, 1 << 30))
      ->capture_default_str();
  add_assemble_options(command, o->assembly);
  command.add_flag("--force", o->force, "replace a checkpoint that is there");
  command.footer(
      "Without --upcycle the model stays what it is, and its files change: tensor by tensor, so "
      "that any size fits into memory. A trainer's state is left behind.\n"
      "With --upcycle, without noise and drops, the new model computes what the old one did: at K "
      "= 1 an expert's "
      "weight is 1 + p - stop(p), above it the K probabilities are made to sum to 1. Routers are "
      "fresh, by --seed; the optimizer begins anew. TO/pointwork.toml is a configuration to go on "
      "with:\n"
      "Examples:\n"
      "  pointwork convert quickstart/bible/dense converted/other --dtype bfloat16\n"
      "  pointwork convert quickstart/bible/dense converted/moe --upcycle 4\n"
      "  pointwork convert quickstart/bible/dense converted/top2 --upcycle 8 --top-k 2 --every 1 "
      "--noise 0.01 --json\n"
      "  pointwork train converted/moe/pointwork.toml --init converted/moe --data "
      "quickstart/bible/data --out runs/moe --train.steps=20");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
