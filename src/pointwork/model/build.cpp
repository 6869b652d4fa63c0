#include "pointwork/model/build.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/config/grammar.h"
#include "pointwork/nn/attention.h"
#include "pointwork/nn/compose.h"
#include "pointwork/nn/mlp.h"
#include "pointwork/nn/routed.h"

namespace pointwork {
namespace {

struct Builder {
  const Config& config;
  const std::string& name;
  const std::string& path;
  const BuildOptions& options;

  std::vector<std::pair<std::string, BranchPtr>> children(const std::vector<std::string>& of,
                                                          bool shared_norm = false) const {
    check(!of.empty(), "branch.", name, ".of must name at least one branch but is empty");
    std::vector<std::pair<std::string, BranchPtr>> built;
    for (const std::string& child : of) {
      // A name used twice makes fresh weights twice.
      const auto same = [&](const auto& other) {
        return other.first.substr(0, other.first.find('~')) == child;
      };
      const auto before = std::count_if(built.begin(), built.end(), same);
      const std::string unique = before == 0 ? child : concat(child, "~", before + 1);
      built.emplace_back(unique, build_branch(config, child, path + "." + unique,
                                              {.norm = !shared_norm, .rounds = options.rounds}));
    }
    return built;
  }

  BranchPtr operator()(const AttentionConfig& c) const {
    return std::make_shared<Attention>(
        config.model, c,
        AttentionOptions{.name = path, .norm = options.norm, .rounds = options.rounds});
  }
  BranchPtr operator()(const MlpConfig& c) const {
    return std::make_shared<Mlp>(
        config.model, c,
        MlpOptions{.name = path, .experts = options.experts, .norm = options.norm});
  }
  BranchPtr operator()(const ChainConfig& c) const {
    return std::make_shared<Chain>(children(c.of));
  }
  BranchPtr operator()(const ParallelConfig& c) const {
    if (c.norm == ParallelNorm::inside) return std::make_shared<Parallel>(children(c.of));
    return std::make_shared<Parallel>(
        children(c.of, true), std::make_shared<Norm>(config.model.hidden_size, config.model));
  }
  BranchPtr operator()(const RepeatConfig& c) const {
    return std::make_shared<Repeat>(build_branch(config, c.of, path + ".body", {.rounds = c.times}),
                                    c.times);
  }
  BranchPtr operator()(const RoutedConfig& c) const {
    const bool outside = options.norm && norm_outside(config, c);
    BranchPtr body = build_branch(config, c.of, path + ".body",
                                  {.experts = c.route.num_experts > 1 ? c.route.num_experts : 0,
                                   .norm = options.norm && !outside,
                                   .rounds = options.rounds});
    const RouterOptions router{.name = path,
                               .size = config.model.hidden_size,
                               .attends = body->number_sites(0) > 0,
                               .projections = false,
                               .rounds = options.rounds};
    return std::make_shared<Routed>(
        router, c.route, std::move(body),
        outside ? std::make_shared<Norm>(config.model.hidden_size, config.model) : nullptr);
  }
};

}  // namespace

BranchPtr build_branch(const Config& config, const std::string& name, const std::string& path,
                       const BuildOptions& options) {
  const auto found = config.branch.find(name);
  check(found != config.branch.end(), "no [branch.", name, "] in the config");
  const BranchConfig& branch = found->second;
  check(options.experts == 0 || std::holds_alternative<MlpConfig>(branch.form), "branch.", name,
        " must be an mlp to have several experts but is of kind ", branch.kind());
  const auto* routed = std::get_if<RoutedConfig>(&branch.form);
  check(options.norm || branch.form.index() < 2 || (routed && routed_mlp(config, *routed)),
        "branch.", name, " must be an mlp to have its norm outside but is of kind ", branch.kind());
  return std::visit(Builder{config, name, path, options}, branch.form);
}

}  // namespace pointwork
