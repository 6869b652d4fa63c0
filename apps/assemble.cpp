#include "apps/assemble.h"

#include <cstdio>

#include "apps/figures.h"
#include "pointwork/base/check.h"
#include "pointwork/model/assemble.h"

namespace pointwork::app {
namespace {

// "1, 4 + 4, 1": dense layers, and attention + feed-forward modules of those in which there are
// several.
std::string listed(const std::vector<AssembledLayer>& layers) {
  std::string text;
  for (const AssembledLayer& layer : layers) {
    text += text.empty() ? "" : ", ";
    text += layer.count == 1 ? "1" : concat(layer.attention, " + ", layer.mlp);
  }
  return text;
}

Json to_json(const std::vector<AssembledLayer>& layers) {
  Json all = Json::array();
  for (const AssembledLayer& layer : layers)
    all.push_back({{"first", layer.first},
                   {"layers", layer.count},
                   {"attention_modules", layer.attention},
                   {"feed_forward_modules", layer.mlp}});
  return all;
}

}  // namespace

void add_assemble_options(CLI::App& command, AssembleFlags& flags) {
  command
      .add_option("--assemble", flags.config,
                  "make the layers the modules of this Mixture-of-Modules, whose keys "
                  "--section.key=value overrides")
      ->type_name("CONFIG");
  command
      .add_option(
          "--start", flags.start,
          "of an assembly: scrambled: routers from scratch (the paper's); preserving: round "
          "h begins with module h, so that step 0 computes what the dense model did")
      ->type_name("scrambled|preserving")
      ->check(one_of({"scrambled", "preserving"}))
      ->capture_default_str();
  command
      .add_option("--in-order-steps", flags.in_order_steps,
                  "steps in which a preserving start lets routers go (default: the config's)")
      ->type_name("N")
      ->check(whole_number(1, 1 << 30));
  command
      .add_option("--pool", flags.pool,
                  "dense layers that each pool is made of, where it has fewer modules: the last "
                  "layers' are left out (default: as many as modules)")
      ->type_name("N")
      ->check(whole_number(1, 4096));
}

int assemble(const AssembleFlags& flags, const std::string& from, const std::string& to, bool force,
             const Common& common) {
  const Config target = load_config(flags.config, common.overrides);
  const Loaded loaded = load(from, common, false);
  const AssembleOptions how{
      .start = flags.start == "preserving" ? AssemblyStart::preserving : AssemblyStart::scrambled,
      .in_order_steps = flags.in_order_steps,
      .pool = flags.pool,
      .seed = static_cast<uint64_t>(common.seed >= 0 ? common.seed : target.train.seed)};
  const std::shared_ptr<Model> model = pointwork::assemble(*loaded.model, target, how);
  save_checkpoint(to, *model, content_of(loaded), force);

  const std::vector<AssembledLayer> layers =
      assembled_layers(loaded.model->config(), model->config(), flags.pool);
  const auto before = loaded.model->parameter_count(), after = model->parameter_count();
  if (common.json) {
    print_json({{"checkpoint", to},
                {"from", loaded.checkpoint.folder.string()},
                {"start", flags.start},
                {"layers", to_json(layers)},
                {"parameters", after},
                {"parameters_before", before}});
  } else if (!common.quiet) {
    std::printf("%s: layers of %s (attention + feed-forward modules), %s; %s parameters, from %s\n",
                to.c_str(), listed(layers).c_str(), flags.start.c_str(),
                in_units(static_cast<double>(after)).c_str(),
                in_units(static_cast<double>(before)).c_str());
  }
  return 0;
}

}  // namespace pointwork::app
