#pragma once
// What this machine could do at best, measured in the same run and on the same threads: copying
// bytes and multiply-adding.

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "pointwork/kernels/simd.h"

namespace pointwork::bench {

template <class Run>
double seconds_of(const Run& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Seconds of the fastest of several runs that take 100 ms together.
template <class Run>
double fastest(const Run& run) {
  double best = 1e9, spent = 0;
  for (int i = 0; i < 10 || spent < 0.1; ++i) {
    const double took = seconds_of(run);
    best = std::min(best, took);
    spent += took;
  }
  return best;
}

// Seconds for moving `bytes`, half of them read and half written, by memcpy: a working set of the
// same size finds the same caches. Measured once per size, on one thread and on all, the faster
// taken.
inline double seconds_to_copy(double bytes) {
  static std::map<int64_t, double> known;
  const auto half = std::max<int64_t>(64, static_cast<int64_t>(bytes / 2));
  if (const auto found = known.find(half); found != known.end()) return found->second;
  std::vector<char> from(static_cast<size_t>(half), 1), to(from.size());
  const auto copy = [&](int64_t parts) {
#pragma omp parallel for schedule(static) if (parts > 1)
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = half * part / parts, last = half * (part + 1) / parts;
      std::memcpy(to.data() + first, from.data() + first, static_cast<size_t>(last - first));
    }
    asm volatile("" ::: "memory");
  };
  return known[half] =
             std::min(fastest([&] { copy(1); }), fastest([&] { copy(omp_get_max_threads()); }));
}

// Floating-point operations a second of independent multiply-adds in registers, all threads. Two a
// multiply-add.
inline double peak_flops() {
  using kernels::simd::Float8;
  constexpr int64_t kTimes = 200000, kChains = 10;
  static const double peak = [] {
    const int threads = omp_get_max_threads();
    const double seconds = fastest([&] {
#pragma omp parallel num_threads(threads)
      {
        Float8 sum[kChains] = {};
        Float8 a = Float8{} + 0.999f, b = Float8{} + 0.001f;
        for (int64_t i = 0; i < kTimes; ++i) {
          asm volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 10
          for (int64_t c = 0; c < kChains; ++c) sum[c] = sum[c] * a + b;
        }
        for (Float8& s : sum) asm volatile("" : "+x"(s));
      }
    });
    return static_cast<double>(threads) * kTimes * kChains * 8 * 2 / seconds;
  }();
  return peak;
}

}  // namespace pointwork::bench
