#pragma once
// FLOPs of a branch, composed as the branch is. Convention: a multiply-add is 2; matrix products,
// and exactly the unmasked attention pairs; everything else 0; training is 3 x forward.

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "pointwork/route/context.h"

namespace pointwork {

// expected: the target share of every route. bound: every slot that exists, all rows where choices
// are causal.
enum class FlopKind { expected, bound };

// What one application of a routed branch computed, sequence by sequence.
struct Entered {
  std::vector<double> rows;   // [B] slots that were filled
  std::vector<double> pairs;  // [B] unmasked query-key pairs of one head, of routed attention alone
};

struct Extent {
  std::vector<double> rows;  // [B] new rows of each sequence
  std::vector<double> past;  // [B] cached rows that each new row can see besides; empty: none
  Routing routing = Routing::training;
  FlopKind kind = FlopKind::expected;
  int64_t step = 0;
  int64_t round = 0;     // of the repeats around, as in Context
  double root_rows = 0;  // rows of the model's input: what a share is a share of

  // Measured: what entered each routed branch, in forward order; consumed as the branches are
  // visited. Without `past`: what a continuation cost is the difference between two wholes.
  const std::vector<Entered>* entered = nullptr;
  size_t* next_entered = nullptr;

  double total() const;         // rows of all sequences
  double share() const;         // of the model's rows
  double pairs() const;         // unmasked query-key pairs of one head under a causal mask
  double masked_pairs() const;  // those that the mask hides
};

struct FlopPart {
  std::string name;  // as in the parameter names
  double flops = 0;  // forward
  double parameters = 0;
  double active = 0;  // parameters x the share of tokens that use them
  double masked =
      0;  // what the pairs that a causal mask hides would add: PaLM's convention counts them
};
using FlopParts = std::vector<FlopPart>;

double parameter_count(const torch::nn::Module& module);
double total_flops(const FlopParts& parts);
double total_masked(const FlopParts& parts);
double active_parameters(const FlopParts& parts);

}  // namespace pointwork
