#pragma once
// Which tokens of the vocabulary choose an expert more often than tokens do on the whole.

#include <map>

#include "pointwork/route/trace.h"

namespace pointwork {

struct TokenAffinity {
  int32_t token = 0;
  int64_t seen = 0;  // times it chose
  double lift = 0;   // P(choice | token) / P(choice)
};

struct ChoiceAffinity {
  double share = 0;  // P(choice), of all choices that were made
  std::vector<TokenAffinity> tokens;
};

struct AffinityOptions {
  int64_t least = 5;  // times a token must have chosen
  size_t most = 8;    // tokens of a choice
};

// Counts of one layer of token choice, over any number of traces. Choices before drops; the rounds
// of a repeat are traces of their own and may be counted together.
class AffinityCounts {
 public:
  // `tokens` [T]: the ids of the rows that `layer` traces.
  void add(const std::vector<int32_t>& tokens, const LayerTrace& layer);

  // By choice, experts and then no-ops up to the highest that was seen, those whose lift is above
  // 1: highest lift first, then the more frequent, then the lower id.
  std::vector<ChoiceAffinity> read(const AffinityOptions& options = {}) const;

  int64_t experts() const { return experts_; }

 private:
  struct Token {
    int64_t seen = 0, choices = 0;
    std::map<int32_t, int64_t> by_choice;
  };
  int64_t experts_ = 0;
  std::map<int32_t, Token> tokens_;
};

}  // namespace pointwork
