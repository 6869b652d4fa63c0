#pragma once
// What tokens choose round by round, where a repeat applies a branch of token choice again and
// again: how often each module is taken, where tokens go next, whole paths.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pointwork {

struct RoundName {
  std::string branch;
  size_t round = 0;
};

// "layers.1.mha#2" is the round 2 of "layers.1.mha"; a name without a number is the round 0.
RoundName round_name(const std::string& name);

// One application of a branch of token choice to T rows.
struct RoundChoices {
  std::string name;  // as round_name reads it
  size_t experts = 0, top_k = 0;
  std::vector<int32_t> choice;  // [T · k], from `experts` on no-ops, below 0 none
};

struct ModulePath {
  std::vector<int32_t> choice;  // [R · k]: of each round what was chosen, ascending, no-ops all
                                // `experts`, then -1 for none
  double share = 0;             // of tokens
};

// Of one branch. States are its E experts and last, as one, its no-ops: SKIP. A token that makes
// several choices in a round counts for each with its part.
struct ModuleRounds {
  std::string name;
  size_t experts = 0, top_k = 0, rounds = 0;
  std::vector<double> share;  // [R · (E + 1)]: of tokens, those in this state at this round
  std::vector<double> next;   // [(R - 1) · (E + 1) · (E + 1)]: those in the first state at this
                              // round and in the second at the next
  double distinct_paths = 0;
  std::vector<ModulePath> paths;  // the most frequent first

  size_t states() const { return experts + 1; }
  double share_of(size_t round, size_t state) const { return share[round * states() + state]; }
  double flow(size_t round, size_t from, size_t to) const {
    return next[(round * states() + from) * states() + to];
  }
  double skipped() const;  // mean share of SKIP over rounds
};

// Counts over any number of forward passes of the same model.
class ModuleCounts {
 public:
  // All layers of one pass. Rounds that are not there came to no row. Branches of one round are
  // none of a repeat and do not count.
  void add(const std::vector<RoundChoices>& layers);

  // Branches in the order of their first application; shares are of tokens that stood before any
  // of their rounds. At most `most` paths of each.
  std::vector<ModuleRounds> read(size_t most = 12) const;

 private:
  struct Branch {
    std::string name;
    size_t experts = 0, top_k = 0, rounds = 0;
    int64_t tokens = 0;
    std::vector<double> share, next;
    std::map<std::vector<int32_t>, int64_t> paths;
  };
  void add(const std::string& name, const std::vector<const RoundChoices*>& rounds);
  std::vector<Branch> branches_;
};

}  // namespace pointwork
