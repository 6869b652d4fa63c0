#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "pointwork/kernels/cross_entropy.h"
#include "pointwork/kernels/exp.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::broadcast;
using simd::for_each_vector;
using simd::keep;
using simd::LanesOf;
using simd::load;
using simd::store;

struct Factors {
  float scale, z_weight;
};

// Copies the row widened and finds its largest element. NaN is passed over here and shows in the
// sum.
template <class T>
Accumulator<T> widen(const T* row, int64_t vocab, Accumulator<T>* wide) {
  using V = LanesOf<T>;
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  V a = broadcast<V>(kLowest), b = a;
  int64_t i = 0;
  for (; i + 2 * simd::kLanes<V> <= vocab; i += 2 * simd::kLanes<V>) {
    const V first = load(row + i, simd::Full{}),
            second = load(row + i + simd::kLanes<V>, simd::Full{});
    store(wide + i, first, simd::Full{});
    store(wide + i + simd::kLanes<V>, second, simd::Full{});
    a = first > a ? first : a;
    b = second > b ? second : b;
  }
  for_each_vector<V>(vocab - i, [&](int64_t j, auto lanes) {
    const V v = load(row + i + j, lanes);
    store(wide + i + j, v, lanes);
    const V existing = keep(v, lanes, kLowest);
    a = existing > a ? existing : a;
  });
  return simd::largest_lane(a > b ? a : b);
}

template <class A>
int32_t position_of(const A* row, int64_t vocab, A value) {
  const auto at = std::find(row, row + vocab, value);
  return at == row + vocab ? -1 : static_cast<int32_t>(at - row);
}

// row → exp(row − largest), returning the sum.
template <class A>
A exponentiate(A* row, int64_t vocab, A largest) {
  using V = LanesOf<A>;
  const V shift = broadcast<V>(largest);
  return simd::sum_lanes(simd::sum_vectors<V>(vocab, [&](int64_t i, auto lanes) {
    const V e = keep(simd::exp(load(row + i, lanes) - shift), lanes);
    store(row + i, e, lanes);
    return e;
  }));
}

template <class T>
void one_row(const T* logits, int64_t vocab, int32_t target, Factors factors, Accumulator<T>* wide,
             T* grad, float* loss, float* lse, int32_t* argmax) {
  using A = Accumulator<T>;
  using V = LanesOf<T>;
  const A largest = widen(logits, vocab, wide);
  const A chosen = wide[target];
  if (argmax) *argmax = position_of(wide, vocab, largest);
  const A sum = exponentiate(wide, vocab, largest);
  const A log_sum = std::log(sum);
  const A log_partition = largest + log_sum;
  *loss = static_cast<float>((largest - chosen) + log_sum);
  *lse = static_cast<float>(log_partition);
  if (!grad) return;

  const A pull = factors.scale * (1 + 2 * factors.z_weight * log_partition);
  const A at_target = wide[target] * (pull / sum) - factors.scale;
  const V factor = broadcast<V>(pull / sum);
  for_each_vector<V>(vocab, [&](int64_t i, auto lanes) {
    store(grad + i, factor * load(wide + i, lanes), lanes);
  });
  grad[target] = static_cast<T>(at_target);
}

// One thread's rows in wide form.
template <class A>
struct TaughtRow {
  explicit TaughtRow(size_t vocab) : student(vocab), warm(vocab), teacher(vocab) {}
  std::vector<A> student;  // becomes exp(s − largest)
  std::vector<A> warm;     // exp((s − largest) / τ), where τ is not 1
  std::vector<A> teacher;  // becomes exp((t − largest) / τ)
};

// exp((from − largest) · factor) → to, returning the sum.
template <class A>
A exponentiate(const A* from, A* to, int64_t vocab, A largest, A factor) {
  using V = LanesOf<A>;
  const V shift = broadcast<V>(largest), by = broadcast<V>(factor);
  return simd::sum_lanes(simd::sum_vectors<V>(vocab, [&](int64_t i, auto lanes) {
    const V e = keep(simd::exp((load(from + i, lanes) - shift) * by), lanes);
    store(to + i, e, lanes);
    return e;
  }));
}

// row → exp(row − largest), returning its sum and Σ teacher · (row − largest). What the teacher
// excludes adds nothing, be the row −∞ there.
template <class A>
std::pair<A, A> exponentiate_beside(A* row, const A* teacher, int64_t vocab, A largest) {
  using V = LanesOf<A>;
  const V shift = broadcast<V>(largest), none = broadcast<V>(0);
  const auto sums = simd::sum_vectors<V>(vocab, [&](int64_t i, auto lanes) {
    const V below = load(row + i, lanes) - shift, t = load(teacher + i, lanes);
    const V e = keep(simd::exp(below), lanes);
    store(row + i, e, lanes);
    return simd::Pair<V>{e, t > none ? t * below : none};
  });
  return {simd::sum_lanes(sums.first), simd::sum_lanes(sums.second)};
}

struct RowLosses {
  float *loss, *soft, *lse;
};

template <class T>
void one_taught_row(const T* logits, const T* taught, int64_t vocab, int32_t target,
                    const TaughtWeights& w, TaughtRow<Accumulator<T>>& row, T* grad,
                    const RowLosses& to) {
  using A = Accumulator<T>;
  using V = LanesOf<T>;
  A *s = row.student.data(), *warm = row.warm.data(), *t = row.teacher.data();
  const A largest = widen(logits, vocab, s), above = widen(taught, vocab, t);
  const A cold = static_cast<A>(1 / w.temperature);
  const bool same = w.temperature == 1;
  const A chosen = s[target];
  const A of_teacher = exponentiate(t, t, vocab, above, cold);
  A of_warm = same ? 0 : exponentiate(s, warm, vocab, largest, cold);
  const auto [sum, product] = exponentiate_beside(s, t, vocab, largest);
  if (same) of_warm = sum;
  const A log_sum = std::log(sum), log_partition = largest + log_sum;
  *to.loss = static_cast<float>((largest - chosen) + log_sum);
  *to.soft = static_cast<float>(std::log(of_warm) - product * cold / of_teacher);
  *to.lse = static_cast<float>(log_partition);
  if (!grad) return;

  const auto hard_scale = static_cast<A>(w.scale * w.hard);
  const auto strength = static_cast<A>(w.scale * w.soft * w.temperature);
  const A pull = (hard_scale + static_cast<A>(2 * w.scale * w.z) * log_partition) / sum;
  const A towards = strength / of_warm, away = strength / of_teacher;
  A at_target = pull * s[target] - hard_scale - away * t[target];
  at_target += towards * (same ? s : warm)[target];
  const V from_teacher = broadcast<V>(away);
  if (same) {
    const V both = broadcast<V>(pull + towards);
    for_each_vector<V>(vocab, [&](int64_t i, auto lanes) {
      store(grad + i, both * load(s + i, lanes) - from_teacher * load(t + i, lanes), lanes);
    });
  } else {
    const V hard = broadcast<V>(pull), soft = broadcast<V>(towards);
    for_each_vector<V>(vocab, [&](int64_t i, auto lanes) {
      const V p = hard * load(s + i, lanes) + soft * load(warm + i, lanes);
      store(grad + i, p - from_teacher * load(t + i, lanes), lanes);
    });
  }
  grad[target] = static_cast<T>(at_target);
}

}  // namespace

template <class T>
void cross_entropy_rows(const T* logits, int64_t stride, int64_t rows, int64_t vocab,
                        const int32_t* target, float scale, float z_weight, T* grad, float* loss,
                        float* lse, int32_t* argmax) {
#pragma omp parallel if (worth_threads(rows * vocab))
  {
    // One row in wide form: it stays in the cache from the first pass to the last.
    std::vector<Accumulator<T>> wide(static_cast<size_t>(vocab));
#pragma omp for schedule(static)
    for (int64_t t = 0; t < rows; ++t) {
      T* to = grad ? grad + t * stride : nullptr;
      if (target[t] < 0) {
        if (to) std::memset(static_cast<void*>(to), 0, static_cast<size_t>(vocab) * sizeof(T));
        loss[t] = lse[t] = 0;
        if (argmax) argmax[t] = -1;
        continue;
      }
      one_row(logits + t * stride, vocab, target[t], {scale, z_weight}, wide.data(), to, loss + t,
              lse + t, argmax ? argmax + t : nullptr);
    }
  }
}

template <class T>
void taught_cross_entropy_rows(const T* logits, const T* teacher, int64_t stride, int64_t rows,
                               int64_t vocab, const int32_t* target, TaughtWeights weights, T* grad,
                               float* loss, float* soft, float* lse) {
#pragma omp parallel if (worth_threads(rows * vocab))
  {
    TaughtRow<Accumulator<T>> row(static_cast<size_t>(vocab));
#pragma omp for schedule(static)
    for (int64_t t = 0; t < rows; ++t) {
      T* to = grad ? grad + t * stride : nullptr;
      if (target[t] < 0) {
        if (to) std::memset(static_cast<void*>(to), 0, static_cast<size_t>(vocab) * sizeof(T));
        loss[t] = soft[t] = lse[t] = 0;
        continue;
      }
      one_taught_row(logits + t * stride, teacher + t * stride, vocab, target[t], weights, row, to,
                     {loss + t, soft + t, lse + t});
    }
  }
}

#define INSTANTIATE(T)                                                                         \
  template void cross_entropy_rows(const T*, int64_t, int64_t, int64_t, const int32_t*, float, \
                                   float, T*, float*, float*, int32_t*);                       \
  template void taught_cross_entropy_rows(const T*, const T*, int64_t, int64_t, int64_t,       \
                                          const int32_t*, TaughtWeights, T*, float*, float*,   \
                                          float*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
