#pragma once
// Every kernel again in double with no cleverness: what the fast ones are tested against.
//
// Arguments and shapes are those of the kernel of the same name. Beside each output stands
// Σ|terms|: the sum of the magnitudes that were added to make it, each times how strongly it passes
// on relative errors of what it is computed from. A correct kernel with √n·eps of error a sum is
// within a small multiple of √n · eps · terms.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pointwork/kernels/activation.h"
#include "pointwork/kernels/cross_entropy.h"
#include "pointwork/kernels/experts.h"
#include "pointwork/kernels/rope.h"

namespace pointwork::kernels::reference {

using Values = std::vector<double>;
using Rows = std::vector<int32_t>;

struct Bounded {
  Values value, terms;
  explicit Bounded(int64_t count = 0)
      : value(static_cast<size_t>(count)), terms(static_cast<size_t>(count)) {}
  void add(int64_t at, double term, double strength = 1);
};

// rows.h. An empty weight is 1, an empty base is 0.
Bounded gather_rows(const Values& x, const Rows& token, const Values& weight, int64_t width);
Bounded scatter_rows(const Values& base, const Values& y, const Values& weight, const Rows& token,
                     int64_t rows, int64_t width);
struct GatherDot {
  Bounded d_y, d_weight;
};
GatherDot gather_dot_rows(const Values& d_out, const Values& y, const Rows& token,
                          const Values& weight, int64_t width);
struct SlotIndex {
  Rows row_offset, row_slot;
};
SlotIndex index_slots(const Rows& token, int64_t rows);

// choose.h. An empty valid is 1.
Rows top_rows(const Values& score, const Rows& start, const std::vector<uint8_t>& valid,
              const Rows& count, int64_t each);
Values kth_score(const Values& score, const Rows& start, const std::vector<uint8_t>& valid,
                 const Rows& rank);

// experts.h. An empty valid or kept is 1, an empty weight sets no priority.
Rows highest_columns(const Values& score, int64_t columns, int64_t k,
                     const std::vector<uint8_t>& valid);
std::vector<uint8_t> keep_pairs(const Rows& choice, const Values& weight,
                                const cpu::KeepShape& shape);
struct PairOrder {
  Rows pair, offset;
};
PairOrder sort_pairs(const Rows& choice, const std::vector<uint8_t>& kept, int64_t experts,
                     int64_t slots);

// cross_entropy.h, contiguous.
struct CrossEntropy {
  Bounded grad, loss, lse;
  Rows argmax;
};
CrossEntropy cross_entropy_rows(const Values& logits, int64_t vocab, const Rows& target,
                                double scale, double z_weight);
struct TaughtCrossEntropy {
  Bounded grad, loss, soft, lse;
};
TaughtCrossEntropy taught_cross_entropy_rows(const Values& logits, const Values& teacher,
                                             int64_t vocab, const Rows& target,
                                             const cpu::TaughtWeights& weights);

// norm.h. centred: LayerNorm, else RMSNorm (mean is 0). An empty bias is 0.
struct Norm {
  Bounded y, mean, rstd;
};
Norm norm(const Values& x, const Values& weight, const Values& bias, double eps, bool centred);
struct NormGradient {
  Bounded d_x, d_weight, d_bias;
};
NormGradient norm_backward(const Values& d_y, const Values& x, const Values& weight,
                           const Values& d_residual, double eps, bool centred);

// rope.h. Both strides are heads · head_dim.
Bounded rotate(const Values& x, const Rows& position, double theta, const cpu::RopeShape& shape,
               bool inverse);

// few_rows.h. An empty bias is 0. Row after row.
Bounded project_few(const Values& x, const Values& weight, const Values& bias, int64_t in);

// activation.h
Bounded activate(Nonlinearity kind, const Values& x);
Bounded activate_backward(Nonlinearity kind, const Values& d_y, const Values& x);
Bounded swiglu(const Values& gate, const Values& up);
struct SwigluGradient {
  Bounded d_gate, d_up;
};
SwigluGradient swiglu_backward(const Values& d_out, const Values& gate, const Values& up);

// gru.h. An empty h: a state of 0, and c is one row.
Bounded gru_cell(const Values& a, const Values& c, const Values& h, int64_t size);
struct GruGradient {
  Bounded d_a, d_c, d_h;
};
GruGradient gru_cell_backward(const Values& d_out, const Values& a, const Values& c,
                              const Values& h, int64_t size);

// attend.h. key[b], value[b] [entries, kv_heads, head_dim]
struct AttendShape {
  int64_t heads, kv_heads, head_dim;
};
Bounded attend(const Values& query, const AttendShape& shape, const Rows& sequence,
               const Rows& visible, const std::vector<Values>& key,
               const std::vector<Values>& value, double scale);

}  // namespace pointwork::kernels::reference
