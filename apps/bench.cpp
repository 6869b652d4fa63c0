// bench: time of a training step, of decoding and of routing, and how much of the ideal saving
// shows on the clock.

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "apps/common.h"
#include "apps/figures.h"
#include "apps/workload.h"
#include "pointwork/base/check.h"
#include "pointwork/log/units.h"
#include "pointwork/train/machine.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string what;
  std::vector<std::string> files;
  std::string against;
  double seconds = 50;
};

struct Measured {
  std::string name;
  double seconds = 0;                            // median of a unit of work
  double tokens = 0, flops = 0, flops_palm = 0;  // of a unit
};

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Takes turns, so that what else the machine does meets all alike. Ends `seconds` after `start`;
// where not even three rounds fit into them, with fewer, but never without one.
std::vector<Measured> measure(const std::vector<std::unique_ptr<Workload>>& all,
                              Clock::time_point start, double seconds) {
  std::vector<std::vector<double>> times(all.size());
  const auto first = Clock::now();
  for (const auto& work : all) work->run();
  double slowest = since(first);
  // The first run also pays for what is made once; the second is like all others.
  if (since(start) + 4 * slowest < seconds) {
    for (const auto& work : all) work->run();
    slowest = 0;
  }
  do {
    const auto round = Clock::now();
    for (size_t i = 0; i < all.size(); ++i) {
      const auto begin = Clock::now();
      all[i]->run();
      times[i].push_back(since(begin));
    }
    slowest = std::max(slowest, since(round));
  } while (since(start) + slowest < seconds);
  std::vector<Measured> results;
  for (size_t i = 0; i < all.size(); ++i) {
    results.push_back({all[i]->name(), median(times[i]), all[i]->tokens(), all[i]->flops(),
                       all[i]->flops_palm()});
  }
  return results;
}

Json to_json(const Measured& m, double peak, torch::Device device) {
  return {{"name", m.name},
          {"seconds", m.seconds},
          {"tokens_per_second", m.tokens / m.seconds},
          {"flops_per_second", m.flops / m.seconds},
          {"gemm_peak_flops_per_second", peak},
          {"mfu", m.flops / m.seconds / peak},
          {"mfu_palm", m.flops_palm / m.seconds / peak},
          {"peak_memory_bytes", peak_memory_bytes(device)}};
}

int run(const Options& options, const Common& common) {
  const auto start = Clock::now();
  const torch::Device device = choose_device(common);
  keep_freed_memory();
  std::vector<std::string> files = options.files;
  if (!options.against.empty()) files.push_back(options.against);
  std::vector<std::unique_ptr<Workload>> all;
  for (const std::string& file : files)
    all.push_back(make_workload(options.what, file, common, device));
  const torch::Dtype dtype = all[0]->dtype();
  const double peak =
      gemm_peak_flops_per_second(dtype, device, std::min(1.0, options.seconds / 20));
  if (!common.quiet) note(concat("measuring for about ", options.seconds, " s, taking turns"));
  const std::vector<Measured> results = measure(all, start, 0.95 * options.seconds);

  Json documents = Json::array();
  for (size_t i = 0; i < options.files.size(); ++i) {
    Json json = to_json(results[i], peak, device);
    if (!options.against.empty()) {
      const Measured& base = results.back();
      const double measured = base.seconds / results[i].seconds,
                   ideal = base.flops / results[i].flops;
      json["against"] = options.against;
      json["against_seconds"] = base.seconds;
      json["measured_saving"] = measured;
      json["ideal_saving"] = ideal;
      json["realised_saving"] = measured / ideal;
    }
    documents.push_back(json);
  }
  if (common.json) {
    print_json(documents.size() == 1 ? documents[0] : Json{{"results", documents}});
    return 0;
  }
  std::printf("%-32s %12s %12s %14s %7s\n", options.what.c_str(), "median", "tokens/s", "speed",
              "MFU");
  for (const Measured& m : results) {
    std::printf("%-32s %9.2f ms %12s %14s %5.1f %%\n", m.name.c_str(), 1e3 * m.seconds,
                in_units(m.tokens / m.seconds).c_str(),
                concat(flops_text(m.flops / m.seconds), "/s").c_str(),
                100 * m.flops / m.seconds / peak);
  }
  std::printf("matrix products alone reach %s/s on %d thread%s\n", flops_text(peak).c_str(),
              at_threads(), at_threads() == 1 ? "" : "s");
  for (const Json& json : documents) {
    if (!json.contains("realised_saving")) continue;
    std::printf("%s against %s: %.3f x measured, %.3f x ideal, %.1f %% realised\n",
                json["name"].get<std::string>().c_str(), options.against.c_str(),
                json["measured_saving"].get<double>(), json["ideal_saving"].get<double>(),
                100 * json["realised_saving"].get<double>());
  }
  return 0;
}

}  // namespace

Run add_bench(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command
      .add_option("WHAT", o->what,
                  "step (a training step), decode (cached, batch of 8) or route (router, choice, "
                  "dispatch, combine)")
      ->required()
      ->check(one_of({"step", "decode", "route"}));
  command.add_option("CONFIG", o->files, "TOML files")->required();
  command
      .add_option("--against", o->against,
                  "another config, the dense twin say: measured saving ÷ ideal saving")
      ->type_name("CONFIG");
  command.add_option("--seconds", o->seconds, "seconds to measure for, all configs together")
      ->type_name("S")
      ->check(number("of 1 to 86400", [](double s) { return s >= 1 && s <= 86400; }))
      ->capture_default_str();
  command.footer(
      "Weights are random and so are the token ids; time depends on neither. Configs take turns.\n"
      "Examples:\n"
      "  pointwork bench step configs/mod.toml --against configs/dense.toml\n"
      "  pointwork bench decode configs/mod.toml --against configs/dense.toml --json");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
