#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pointwork/kernels/attend.h"
#include "pointwork/kernels/exp.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::broadcast;
using simd::for_each_vector;
using simd::LanesOf;
using simd::load;
using simd::store;

// Entries whose scores are taken before their values are read: the running maximum then moves once
// a block.
constexpr int64_t kBlock = 64;

// One row's query heads that share a key-value head, and their running softmax (Milakov and
// Gimelshein, arXiv:1805.02867).
template <class T>
class Group {
  using A = Accumulator<T>;
  using V = LanesOf<T>;

 public:
  Group(int64_t heads, int64_t head_dim)
      : heads_(heads),
        dim_(head_dim),
        query_(static_cast<size_t>(heads * head_dim)),
        sum_(query_.size()),
        weight_(static_cast<size_t>(heads * kBlock)),
        largest_(static_cast<size_t>(heads)),
        total_(largest_.size()) {}

  void begin(const T* query, double scale) {
    const V factor = broadcast<V>(static_cast<A>(scale));
    for_each_vector<V>(heads_ * dim_, [&](int64_t i, auto lanes) {
      store(query_.data() + i, factor * load(query + i, lanes), lanes);
    });
    std::fill(sum_.begin(), sum_.end(), A(0));
    std::fill(largest_.begin(), largest_.end(), -std::numeric_limits<A>::infinity());
    std::fill(total_.begin(), total_.end(), A(0));
  }

  // count ≤ kBlock entries, `stride` elements apart.
  void add(const T* key, const T* value, int64_t stride, int64_t count) {
    for (int64_t j = 0; j < count; ++j) score_entry(key + j * stride, j);
    for (int64_t g = 0; g < heads_; ++g) soften(g, count);
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) add_four(value + j * stride, stride, j);
    for (; j < count; ++j) add_one(value + j * stride, j);
  }

  void finish(T* out) const {
    for (int64_t g = 0; g < heads_; ++g) {
      const V factor = broadcast<V>(total_[g] == 0 ? A(0) : 1 / total_[g]);
      for_each_vector<V>(dim_, [&](int64_t i, auto lanes) {
        store(out + g * dim_ + i, factor * load(sum_.data() + g * dim_ + i, lanes), lanes);
      });
    }
  }

 private:
  void score_entry(const T* key, int64_t j) {
    for (int64_t g = 0; g < heads_; ++g) {
      const A* q = query_.data() + g * dim_;
      weight_[g * kBlock + j] = simd::sum_lanes(simd::sum_vectors<V>(
          dim_, [&](int64_t i, auto lanes) { return load(q + i, lanes) * load(key + i, lanes); }));
    }
  }

  // Scores of head g become weights relative to the largest score so far.
  void soften(int64_t g, int64_t count) {
    A* w = weight_.data() + g * kBlock;
    const A before = largest_[g];
    largest_[g] = std::max(before, *std::max_element(w, w + count));
    if (largest_[g] > before && total_[g] > 0) {
      const A shrink = std::exp(before - largest_[g]);
      total_[g] *= shrink;
      const V factor = broadcast<V>(shrink);
      A* sum = sum_.data() + g * dim_;
      for_each_vector<V>(dim_, [&](int64_t i, auto lanes) {
        store(sum + i, factor * load(sum + i, lanes), lanes);
      });
    }
    const V shift = broadcast<V>(largest_[g]);
    total_[g] += simd::sum_lanes(simd::sum_vectors<V>(count, [&](int64_t i, auto lanes) {
      const V e = simd::keep(simd::exp(load(w + i, lanes) - shift), lanes);
      store(w + i, e, lanes);
      return e;
    }));
  }

  void add_four(const T* value, int64_t stride, int64_t j) {
    for (int64_t g = 0; g < heads_; ++g) {
      const A* w = weight_.data() + g * kBlock + j;
      A* sum = sum_.data() + g * dim_;
      for_each_vector<V>(dim_, [&](int64_t i, auto lanes) {
        const T* v = value + i;
        const V low = load(sum + i, lanes) + broadcast<V>(w[0]) * load(v, lanes) +
                      broadcast<V>(w[1]) * load(v + stride, lanes);
        const V high = broadcast<V>(w[2]) * load(v + 2 * stride, lanes) +
                       broadcast<V>(w[3]) * load(v + 3 * stride, lanes);
        store(sum + i, low + high, lanes);
      });
    }
  }

  void add_one(const T* value, int64_t j) {
    for (int64_t g = 0; g < heads_; ++g) {
      const V w = broadcast<V>(weight_[g * kBlock + j]);
      A* sum = sum_.data() + g * dim_;
      for_each_vector<V>(dim_, [&](int64_t i, auto lanes) {
        store(sum + i, load(sum + i, lanes) + w * load(value + i, lanes), lanes);
      });
    }
  }

  int64_t heads_, dim_;
  std::vector<A> query_, sum_;      // [heads, dim], the query times the scale
  std::vector<A> weight_;           // [heads, kBlock]
  std::vector<A> largest_, total_;  // [heads]
};

}  // namespace

template <class T>
void attend(const T* query, int64_t rows, int64_t heads, int64_t kv_heads, int64_t head_dim,
            const int32_t* sequence, const int32_t* visible, const T* const* key,
            const T* const* value, double scale, T* out) {
  const int64_t group = heads / kv_heads, stride = kv_heads * head_dim;
  int64_t entries = 0;
  for (int64_t t = 0; t < rows; ++t) entries += visible[t];
#pragma omp parallel if (worth_threads(entries * stride))
  {
    Group<T> state(group, head_dim);
#pragma omp for collapse(2) schedule(dynamic)
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t k = 0; k < kv_heads; ++k) {
        const int64_t at = (t * heads + k * group) * head_dim;
        const T* keys = key[sequence[t]] + k * head_dim;
        const T* values = value[sequence[t]] + k * head_dim;
        state.begin(query + at, scale);
        for (int64_t first = 0; first < visible[t]; first += kBlock) {
          state.add(keys + first * stride, values + first * stride, stride,
                    std::min<int64_t>(kBlock, visible[t] - first));
        }
        state.finish(out + at);
      }
    }
  }
}

#define INSTANTIATE(T)                                                               \
  template void attend(const T*, int64_t, int64_t, int64_t, int64_t, const int32_t*, \
                       const int32_t*, const T* const*, const T* const*, double, T*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
