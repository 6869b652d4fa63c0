// convert: one model made another.

#include <cstdio>

#include "apps/assemble.h"
#include "apps/common.h"
#include "apps/figures.h"
#include "pointwork/base/check.h"
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
  std::string from, to;
  int64_t experts = 0, top_k = 1, every = 2, offset = -1, capacity_steps = 1000;
  double capacity_factor = 0, noise = 0, capacity = 0;
  bool force = false;
};

// --force replaces a checkpoint, and nothing else.
void check_target(const Options& options) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(options.to, error))) return;
  check(options.force, options.to, " exists already (--force replaces it)");
  check(fs::exists(fs::path(options.to) / kManifestFile), options.to,
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

int run(const Options& options, const Common& common) {
  const bool assembles = !options.assembly.config.empty();
  if (assembles + (options.experts > 0) + (options.capacity > 0) > 1)
    throw UsageError("--assemble, --to-mod and --upcycle are conversions: give one of them");
  // --seed and --precision are keys, too, and come last.
  const size_t by_flags = (common.seed >= 0) + !common.precision.empty();
  if (!assembles && common.overrides.size() > by_flags)
    throw UsageError(concat("--", common.overrides.front().key,
                            " is a key of a config, which --assemble alone has"));
  if (options.capacity > 0) return make_mod(options, common);
  if (assembles) {
    check_target(options);
    return assemble(options.assembly, options.from, options.to, options.force, common);
  }
  if (options.experts == 0)
    throw UsageError(
        "no conversion was asked for: --upcycle E makes a mixture of E experts of a "
        "dense model");
  return upcycle(options, common);
}

}  // namespace

Run add_convert(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command.add_option("FROM", o->from, "a dense checkpoint, or a run (its newest valid checkpoint)")
      ->required();
  command.add_option("TO", o->to, "the checkpoint folder to write")->required();
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
      "Without noise and drops the new model computes what the old one did: at K = 1 an expert's "
      "weight is 1 + p - stop(p), above it the K probabilities are made to sum to 1. Routers are "
      "fresh, by --seed; the optimizer begins anew. TO/pointwork.toml is a configuration to go on "
      "with:\n"
      "Examples:\n"
      "  pointwork convert quickstart/bible/dense converted/moe --upcycle 4\n"
      "  pointwork convert quickstart/bible/dense converted/top2 --upcycle 8 --top-k 2 --every 1 "
      "--noise 0.01 --json\n"
      "  pointwork train converted/moe/pointwork.toml --init converted/moe --data "
      "quickstart/bible/data --out runs/moe --train.steps=20");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
