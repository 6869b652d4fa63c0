// Every CPU kernel at the sizes of two small models: time, GB/s, GFLOP/s, and how many times as
// long it takes as the floor of this machine (bench/floor.h): the longer of copying as many bytes
// and of multiply-adding as many operations.
//
// Bytes are what must be read and written once. An exponential counts as kExp operations.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/floor.h"
#include "pointwork/base/rng.h"
#include "pointwork/kernels/activation.h"
#include "pointwork/kernels/attend.h"
#include "pointwork/kernels/choose.h"
#include "pointwork/kernels/cross_entropy.h"
#include "pointwork/kernels/few_rows.h"
#include "pointwork/kernels/gru.h"
#include "pointwork/kernels/norm.h"
#include "pointwork/kernels/rope.h"
#include "pointwork/kernels/rows.h"

namespace pointwork::bench {
namespace {

using kernels::BFloat16;
using kernels::Nonlinearity;
namespace cpu = kernels::cpu;

constexpr double kExp = 20;

struct Model {
  int64_t batch, length, hidden, vocab;
  int64_t rows() const { return batch * length; }
  int64_t heads() const { return hidden / 64; }
  int64_t mlp() const { return 4 * hidden; }
};
const Model kModels[] = {{8, 256, 256, 8192}, {8, 512, 512, 8192}};

// What one call moves and computes, and the call. It owns its buffers.
struct Work {
  double bytes, flops;
  std::function<void()> call;
};

// T values in [−1, 1) that live as long as the copies of the handle.
template <class T>
struct Buffer {
  std::shared_ptr<std::vector<T>> values;
  explicit Buffer(int64_t count, uint64_t seed = 1)
      : values(std::make_shared<std::vector<T>>(static_cast<size_t>(count))) {
    for (int64_t i = 0; i < count; ++i) {
      (*values)[static_cast<size_t>(i)] =
          T(static_cast<float>(2 * random_uniform(seed, static_cast<uint64_t>(i)) - 1));
    }
  }
  operator T*() const { return values->data(); }
};

struct Indices {
  std::shared_ptr<std::vector<int32_t>> values;
  explicit Indices(int64_t count, const std::function<int64_t(int64_t)>& of)
      : values(std::make_shared<std::vector<int32_t>>(static_cast<size_t>(count))) {
    for (int64_t i = 0; i < count; ++i)
      (*values)[static_cast<size_t>(i)] = static_cast<int32_t>(of(i));
  }
  operator int32_t*() const { return values->data(); }
};

template <class T>
double size(int64_t elements) {
  return static_cast<double>(elements) * sizeof(T);
}

// The fastest call counts, as it does for the floor: others had the machine interrupted.
void measure(benchmark::State& state, const Work& work) {
  work.call();
  double best = 1e9;
  for (auto _ : state) {
    const double seconds = seconds_of(work.call);
    benchmark::ClobberMemory();
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["seconds"] = best;
  state.counters["bytes"] = work.bytes;
  state.counters["flops"] = work.flops;
  state.counters["floor"] = std::max(seconds_to_copy(work.bytes), work.flops / peak_flops());
}

void add(const std::string& name, const std::function<Work()>& make) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [make](benchmark::State& state) { measure(state, make()); })
      ->UseManualTime()
      ->MinTime(0.2);
}

template <class T>
void add_norms(const std::string& suffix, Model m) {
  const int64_t rows = m.rows(), width = m.hidden, n = rows * width;
  add("layer_norm" + suffix, [=] {
    Buffer<T> x(n), y(n), weight(width), bias(width);
    Buffer<float> mean(rows), rstd(rows);
    return Work{size<T>(2 * n), 8.0 * static_cast<double>(n),
                [=] { cpu::layer_norm<T, T>(x, weight, bias, 1e-5, y, mean, rstd, rows, width); }};
  });
  add("rms_norm" + suffix, [=] {
    Buffer<T> x(n), y(n), weight(width);
    Buffer<float> rstd(rows);
    return Work{size<T>(2 * n), 4.0 * static_cast<double>(n),
                [=] { cpu::rms_norm<T, T>(x, weight, 1e-5, y, rstd, rows, width); }};
  });
  add("add_rms_norm" + suffix, [=] {
    Buffer<T> x(n), delta(n), sum(n), y(n), weight(width);
    Buffer<float> rstd(rows);
    return Work{size<T>(4 * n), 5.0 * static_cast<double>(n), [=] {
                  cpu::add_rms_norm<T, T>(x, delta, weight, 1e-5, sum, y, rstd, rows, width);
                }};
  });
  add("layer_norm_backward" + suffix, [=] {
    Buffer<T> x(n), d_y(n), d_x(n), weight(width);
    Buffer<float> mean(rows), rstd(rows), d_weight(width), d_bias(width);
    return Work{size<T>(3 * n), 16.0 * static_cast<double>(n), [=] {
                  cpu::layer_norm_backward<T, T>(d_y, x, weight, mean, rstd, d_x, d_weight, d_bias,
                                                 rows, width);
                }};
  });
  add("rms_norm_backward" + suffix, [=] {
    Buffer<T> x(n), d_y(n), d_x(n), weight(width);
    Buffer<float> rstd(rows), d_weight(width);
    return Work{size<T>(3 * n), 11.0 * static_cast<double>(n), [=] {
                  cpu::rms_norm_backward<T, T>(d_y, x, weight, rstd, d_x, d_weight, rows, width);
                }};
  });
}

template <class T>
void add_activations(const std::string& suffix, Model m) {
  const int64_t rows = m.rows(), width = m.mlp(), n = rows * width;
  const auto count = static_cast<double>(n);
  const std::pair<Nonlinearity, const char*> kinds[] = {{Nonlinearity::gelu, "gelu"},
                                                        {Nonlinearity::gelu_tanh, "gelu_tanh"},
                                                        {Nonlinearity::relu, "relu"}};
  for (const auto& [kind, name] : kinds) {
    const auto k = kind;
    const double cost = kind == Nonlinearity::relu ? 1 : kExp + 10;
    add(name + suffix, [=] {
      Buffer<T> x(n), y(n);
      return Work{size<T>(2 * n), cost * count, [=] { cpu::activate<T>(k, x, y, n); }};
    });
    add(std::string(name) + "_backward" + suffix, [=] {
      Buffer<T> x(n), d_y(n), d_x(n);
      return Work{size<T>(3 * n), (cost + 1) * count,
                  [=] { cpu::activate_backward<T>(k, d_y, x, d_x, n); }};
    });
  }
  add("swiglu" + suffix, [=] {
    Buffer<T> x(2 * n), y(n);
    return Work{size<T>(3 * n), (kExp + 4) * count,
                [=] { cpu::swiglu<T>(x, x + width, 2 * width, y, rows, width); }};
  });
  add("swiglu_backward" + suffix, [=] {
    Buffer<T> x(2 * n), d_y(n), d_x(2 * n);
    return Work{size<T>(5 * n), (kExp + 9) * count, [=] {
                  cpu::swiglu_backward<T>(d_y, x, x + width, 2 * width, d_x, d_x + width, 2 * width,
                                          rows, width);
                }};
  });
}

// Mixture-of-Depths' eighth of the rows, and two of eight experts a token.
template <class T>
void add_rows(const std::string& suffix, Model m) {
  struct Routing {
    const char* name;
    int64_t slots;
  };
  const int64_t rows = m.rows(), width = m.hidden;
  for (const auto& [name, slots] : {Routing{"_eighth", rows / 8}, Routing{"_twice", 2 * rows}}) {
    const int64_t s = slots, n = s * width;
    const auto token = [=] {
      return Indices(s, [=](int64_t i) {
        return s < rows ? 8 * i
                        : static_cast<int64_t>(random_below(static_cast<uint64_t>(rows), 3,
                                                            static_cast<uint64_t>(i)));
      });
    };
    add("gather_rows" + (name + suffix), [=] {
      Buffer<T> x(rows * width), out(n);
      Indices of = token();
      return Work{size<T>(2 * n), 0, [=] { cpu::gather_rows<T>(x, of, nullptr, out, s, width); }};
    });
    // In place where few rows are touched: the untouched cost nothing.
    add("scatter_rows" + (name + suffix), [=] {
      Buffer<T> x(rows * width), y(n);
      Buffer<float> weight(s);
      Indices of = token(), offset(rows + 1, [](int64_t) { return 0; }), slot = offset;
      slot = Indices(s, [](int64_t) { return 0; });
      cpu::index_slots(of, s, rows, offset, slot);
      return Work{size<T>(n + 2 * std::min(n, rows * width)), 2.0 * static_cast<double>(n),
                  [=] { cpu::scatter_rows<T>(x, y, weight, offset, slot, x, rows, width); }};
    });
    add("gather_dot_rows" + (name + suffix), [=] {
      Buffer<T> d_out(rows * width), y(n), d_y(n);
      Buffer<float> weight(s), d_weight(s);
      Indices of = token();
      return Work{size<T>(3 * n), 3.0 * static_cast<double>(n),
                  [=] { cpu::gather_dot_rows<T>(d_out, y, of, weight, d_y, d_weight, s, width); }};
    });
  }
}

template <class T>
void add_heads(const std::string& suffix, Model m) {
  const int64_t rows = m.rows(), heads = m.heads(), width = m.hidden, n = rows * width;
  add("rotate" + suffix, [=] {
    Buffer<T> x(n), out(n);
    const auto length = m.length;
    Indices position(rows, [=](int64_t t) { return t % length; });
    const auto table = std::make_shared<std::vector<float>>(cpu::rope_table(length, 64, 10000));
    return Work{size<T>(2 * n), 3.0 * static_cast<double>(n), [=] {
                  cpu::rotate<T>(x, position, table->data(), {rows, heads, 64, 64, width, width},
                                 false, out);
                }};
  });
  // One new token in each sequence, of which the cache holds the whole length.
  add("attend_decode" + suffix, [=] {
    const int64_t batch = m.batch, entries = m.length;
    Buffer<T> query(batch * width), out(batch * width), key(batch * entries * width),
        value(batch * entries * width);
    Indices sequence(batch, [](int64_t b) { return b; }),
        visible(batch, [=](int64_t) { return entries; });
    const auto pointers = std::make_shared<std::vector<const T*>>();
    for (int64_t b = 0; b < batch; ++b) pointers->push_back(key + b * entries * width);
    for (int64_t b = 0; b < batch; ++b) pointers->push_back(value + b * entries * width);
    return Work{size<T>(2 * batch * entries * width),
                4.0 * static_cast<double>(batch * entries * width) +
                    kExp * static_cast<double>(batch * entries * heads),
                [=, keep = std::pair(key, value)] {
                  cpu::attend<T>(query, batch, heads, heads, 64, sequence, visible,
                                 pointers->data(), pointers->data() + batch, 0.125f, out);
                }};
  });
  add("cross_entropy_rows" + suffix, [=] {
    const int64_t vocab = m.vocab, some = rows / 4, count = some * vocab;
    Buffer<T> logits(count), grad(count);
    Buffer<float> loss(some), lse(some);
    Indices target(some, [=](int64_t t) { return t % vocab; });
    return Work{size<T>(2 * count), (kExp + 5) * static_cast<double>(count), [=] {
                  cpu::cross_entropy_rows<T>(logits, vocab, some, vocab, target, 1.0f, 0.0f, grad,
                                             loss, lse, nullptr);
                }};
  });
  add("taught_cross_entropy_rows" + suffix, [=] {
    const int64_t vocab = m.vocab, some = rows / 4, count = some * vocab;
    Buffer<T> logits(count), teacher(count), grad(count);
    Buffer<float> loss(some), soft(some), lse(some);
    Indices target(some, [=](int64_t t) { return t % vocab; });
    return Work{size<T>(3 * count), (2 * kExp + 10) * static_cast<double>(count), [=] {
                  cpu::taught_cross_entropy_rows<T>(logits, teacher, vocab, some, vocab, target,
                                                    {.hard = 0.75, .soft = 0.25}, grad, loss, soft,
                                                    lse);
                }};
  });
}

// A router's state of 256, as training steps it.
void add_gru(const std::string& suffix, Model m) {
  const int64_t rows = m.rows(), state = 256, n = rows * state;
  const auto count = static_cast<double>(n);
  add("gru_cell" + suffix, [=] {
    Buffer<float> a(3 * n), c(3 * n), h(n), out(n), kept(4 * n);
    return Work{size<float>(12 * n), (3 * kExp + 12) * count,
                [=] { cpu::gru_cell<float>(a, c, h, out, kept, rows, state); }};
  });
  add("gru_cell_backward" + suffix, [=] {
    Buffer<float> d_out(n), kept(4 * n), h(n), d_a(3 * n), d_c(3 * n), d_h(n);
    return Work{size<float>(13 * n), 16 * count, [=] {
                  cpu::gru_cell_backward<float>(d_out, kept, nullptr, h, d_a, d_c, d_h, rows,
                                                state);
                }};
  });
}

// One row through a matrix of its own mlp. On one thread, as one task of several.
template <class T>
void add_few_rows(const std::string& suffix, Model m) {
  const int64_t in = m.hidden, columns = m.mlp(), n = in * columns;
  add("project_few" + suffix, [=] {
    Buffer<T> x(in), weight(n), out(columns);
    return Work{size<T>(n), 2.0 * static_cast<double>(n),
                [=] { cpu::project_few<T>(x, weight, nullptr, out, 1, in, columns, columns); }};
  });
}

void add_choices(const std::string& suffix, Model m) {
  const int64_t rows = m.rows(), each = m.length / 8, batch = m.batch, length = m.length;
  add("top_rows" + suffix, [=] {
    Buffer<float> score(rows);
    Indices start(batch + 1, [=](int64_t b) { return b * length; }),
        count(batch, [=](int64_t) { return each; }), token(batch * each, [](int64_t) { return 0; });
    return Work{size<float>(rows + batch * each), 0,
                [=] { cpu::top_rows(score, start, batch, nullptr, count, each, token); }};
  });
  add("index_slots" + suffix, [=] {
    Indices token(2 * rows,
                  [=](int64_t i) {
                    return static_cast<int64_t>(
                        random_below(static_cast<uint64_t>(rows), 3, static_cast<uint64_t>(i)));
                  }),
        offset(rows + 1, [](int64_t) { return 0; }), slot(2 * rows, [](int64_t) { return 0; });
    return Work{size<int32_t>(5 * rows), 0,
                [=] { cpu::index_slots(token, 2 * rows, rows, offset, slot); }};
  });
}

class Table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    std::printf("%d threads, %.0f GFLOP/s of multiply-adds, copies of 256 MiB at %.1f GB/s\n",
                omp_get_max_threads(), peak_flops() / 1e9,
                0.268435456 / seconds_to_copy(268435456.0));
    std::printf("%-48s %12s %9s %9s %9s\n", "", "time", "GB/s", "GFLOP/s", "of floor");
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.error_occurred || run.run_type == Run::RT_Aggregate) continue;
      const auto counter = [&](const char* name) { return run.counters.at(name).value; };
      const double seconds = counter("seconds");
      std::printf("%-48s %9.1f µs %9.1f %9.1f %8.2f×\n", run.run_name.function_name.c_str(),
                  1e6 * seconds, counter("bytes") / seconds / 1e9, counter("flops") / seconds / 1e9,
                  seconds / counter("floor"));
    }
    std::fflush(stdout);
  }
};

void add_all() {
  for (const Model& m : kModels) {
    const std::string of = " d" + std::to_string(m.hidden) + " S" + std::to_string(m.length);
    add_choices(of, m);
    add_gru(of + " float32", m);
    const auto add_type = [&]<class T>(T, const char* type) {
      const std::string suffix = of + type;
      add_rows<T>(suffix, m);
      add_norms<T>(suffix, m);
      add_activations<T>(suffix, m);
      add_heads<T>(suffix, m);
      add_few_rows<T>(suffix, m);
    };
    add_type(float{}, " float32");
    add_type(BFloat16{}, " bfloat16");
  }
}

}  // namespace
}  // namespace pointwork::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  pointwork::bench::add_all();
  pointwork::bench::Table table;
  benchmark::RunSpecifiedBenchmarks(&table);
  return 0;
}
