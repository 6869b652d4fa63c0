#include "pointwork/model/build.h"

#include <algorithm>

#include "pointwork/base/check.h"
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

  std::vector<std::pair<std::string, BranchPtr>> children(
      const std::vector<std::string>& of) const {
    check(!of.empty(), "branch.", name, ".of must name at least one branch but is empty");
    std::vector<std::pair<std::string, BranchPtr>> built;
    for (const std::string& child : of) {
      // A name used twice makes fresh weights twice.
      const auto same = [&](const auto& other) {
        return other.first.substr(0, other.first.find('~')) == child;
      };
      const auto before = std::count_if(built.begin(), built.end(), same);
      const std::string unique = before == 0 ? child : concat(child, "~", before + 1);
      built.emplace_back(unique, build_branch(config, child, path + "." + unique));
    }
    return built;
  }

  BranchPtr operator()(const AttentionConfig& c) const {
    return std::make_shared<Attention>(config.model, c);
  }
  BranchPtr operator()(const MlpConfig& c) const { return std::make_shared<Mlp>(config.model, c); }
  BranchPtr operator()(const ChainConfig& c) const {
    return std::make_shared<Chain>(children(c.of));
  }
  BranchPtr operator()(const ParallelConfig& c) const {
    return std::make_shared<Parallel>(children(c.of));
  }
  BranchPtr operator()(const RepeatConfig& c) const {
    return std::make_shared<Repeat>(build_branch(config, c.of, path + ".body"), c.times);
  }
  BranchPtr operator()(const RoutedConfig& c) const {
    return std::make_shared<Routed>(path, config.model.hidden_size, c.route,
                                    build_branch(config, c.of, path + ".body"));
  }
};

}  // namespace

BranchPtr build_branch(const Config& config, const std::string& name, const std::string& path) {
  const auto found = config.branch.find(name);
  check(found != config.branch.end(), "no [branch.", name, "] in the config");
  return std::visit(Builder{config, name, path}, found->second.form);
}

}  // namespace pointwork
