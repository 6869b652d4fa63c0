#pragma once
// What the T rows of a [T, D] tensor are.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// Rows stand sequence by sequence, in ascending original position. A routed branch hands its body
// the rows it gathered, described the same way; there empty slots stand at the tail of each
// sequence and are not valid. A tail needs no attention mask: attention is causal.
struct Rows {
  Tensor sequence;   // int32 [T]      which sequence of the batch (with a cache: which of its
                     // sequences)
  Tensor position;   // int32 [T]      which original position
  Tensor root;       // int32 [T]      the row of the model's own input; -1 in an empty slot
  Tensor document;   // int32 [T]      optional: rows attend only within their own document
  Tensor valid;      // bool  [T]      optional: false for padding and empty slots
  Tensor start;      // int32 [B + 1]  rows of sequence b: start[b] .. start[b + 1]; on the CPU
  Tensor key;        // int64 [B]      names a sequence to random routing; on the CPU
  int64_t each = 0;  // rows a sequence where all have the same, else 0 (ragged)
  // Rows of expert e: expert_offset[e] .. expert_offset[e + 1]; rows beyond the last are empty.
  // int32 [E + 1]; undefined where there is one expert. Where it is defined rows stand expert by
  // expert, and `start` and `each` say nothing.
  Tensor expert_offset;

  int64_t sequences() const { return start.size(0) - 1; }
  int64_t count() const { return position.size(0); }
};

// B sequences of S rows at positions 0 .. S-1, all valid, keyed 0 .. B-1.
Rows uniform_rows(int64_t sequences, int64_t length, torch::Device device);

// The rows that stand in `token` (int32 [N], ascending within a sequence, -1 = empty), `each` of
// every sequence (0: ragged, and then without empties).
Rows gather_rows_of(const Rows& rows, const Tensor& token, int64_t each);

// The rows that stand in `token`, in any order: what experts see of their slots. Sequence,
// position and key alone.
Rows gather_expert_rows(const Rows& rows, const Tensor& token);

}  // namespace pointwork
