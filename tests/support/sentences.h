#pragma once
// The grammar of a small Mixture-of-Depths model, for tests that write config files.

#include <string>

namespace pointwork::test {

// Branches "dense" and "mod" (a quarter of the tokens), 2 heads.
inline const std::string kDenseAndMod = R"([branch.attention]
kind = "attention"
num_attention_heads = 2
[branch.mlp]
kind = "mlp"
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
[branch.mod]
kind = "routed"
of = "dense"
route = { capacity = 0.25 }
)";

}  // namespace pointwork::test
