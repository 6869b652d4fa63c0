#include "pointwork/base/module_rounds.h"

#include <algorithm>
#include <charconv>

namespace pointwork {
namespace {

// What a row chose in a round, as a path holds it.
std::vector<int32_t> states_of(const RoundChoices* layer, size_t row, size_t top_k) {
  std::vector<int32_t> states;
  for (size_t k = 0; layer && k < top_k; ++k) {
    const int32_t choice = layer->choice[row * top_k + k];
    if (choice >= 0) states.push_back(std::min(choice, static_cast<int32_t>(layer->experts)));
  }
  std::sort(states.begin(), states.end());
  return states;
}

}  // namespace

RoundName round_name(const std::string& name) {
  const size_t mark = name.find('#');
  if (mark == std::string::npos) return {name, 0};
  RoundName parts{name.substr(0, mark), 0};
  std::from_chars(name.data() + mark + 1, name.data() + name.size(), parts.round);
  return parts;
}

double ModuleRounds::skipped() const {
  double sum = 0;
  for (size_t r = 0; r < rounds; ++r) sum += share_of(r, experts);
  return sum / static_cast<double>(rounds);
}

void ModuleCounts::add(const std::vector<RoundChoices>& layers) {
  std::vector<std::string> names;
  std::map<std::string, std::vector<const RoundChoices*>> by_branch;
  for (const RoundChoices& layer : layers) {
    const RoundName of = round_name(layer.name);
    auto& rounds = by_branch[of.branch];
    if (rounds.empty()) names.push_back(of.branch);
    rounds.resize(std::max(rounds.size(), of.round + 1), nullptr);
    rounds[of.round] = &layer;
  }
  for (const std::string& name : names) {
    if (by_branch[name].size() > 1) add(name, by_branch[name]);
  }
}

void ModuleCounts::add(const std::string& name, const std::vector<const RoundChoices*>& rounds) {
  const RoundChoices& any = *rounds.back();
  auto found = std::find_if(branches_.begin(), branches_.end(),
                            [&](const Branch& one) { return one.name == name; });
  if (found == branches_.end()) found = branches_.insert(branches_.end(), Branch{.name = name});
  Branch& branch = *found;
  branch.experts = any.experts;
  branch.top_k = any.top_k;
  branch.rounds = std::max(branch.rounds, rounds.size());
  const size_t states = any.experts + 1, rows = any.choice.size() / any.top_k;
  branch.share.resize(branch.rounds * states, 0);
  branch.next.resize((branch.rounds - 1) * states * states, 0);
  for (size_t row = 0; row < rows; ++row) {
    std::vector<int32_t> path, before;
    for (size_t r = 0; r < branch.rounds; ++r) {
      const std::vector<int32_t> now =
          states_of(r < rounds.size() ? rounds[r] : nullptr, row, any.top_k);
      const double part = 1 / static_cast<double>(std::max<size_t>(1, now.size()));
      for (const auto state : now) {
        const auto to = static_cast<size_t>(state);
        branch.share[r * states + to] += part;
        for (const auto from : before)
          branch.next[((r - 1) * states + static_cast<size_t>(from)) * states + to] +=
              part / static_cast<double>(before.size());
      }
      path.insert(path.end(), now.begin(), now.end());
      path.resize((r + 1) * any.top_k, -1);
      before = now;
    }
    while (!path.empty() && path.back() < 0)
      path.pop_back();  // alike, however many rounds a pass has
    if (path.empty()) continue;
    ++branch.tokens;
    ++branch.paths[path];
  }
}

std::vector<ModuleRounds> ModuleCounts::read(size_t most) const {
  std::vector<ModuleRounds> all;
  for (const Branch& branch : branches_) {
    if (branch.tokens == 0) continue;
    const auto tokens = static_cast<double>(branch.tokens);
    ModuleRounds one{.name = branch.name,
                     .experts = branch.experts,
                     .top_k = branch.top_k,
                     .rounds = branch.rounds,
                     .share = branch.share,
                     .next = branch.next,
                     .distinct_paths = static_cast<double>(branch.paths.size()),
                     .paths = {}};
    for (double& share : one.share) share /= tokens;
    for (double& share : one.next) share /= tokens;
    for (const auto& [path, count] : branch.paths) {
      one.paths.push_back({path, static_cast<double>(count) / tokens});
      one.paths.back().choice.resize(branch.rounds * branch.top_k, -1);
    }
    std::stable_sort(one.paths.begin(), one.paths.end(),
                     [](const auto& a, const auto& b) { return a.share > b.share; });
    if (one.paths.size() > most) one.paths.resize(most);
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace pointwork
