// One layer of top-1 experts, forward and backward, against one dense mlp of the same FLOPs, in
// turns within one run; and one token's forward, against reading one expert.
//
//   experts_bench [--json] [--type float32|bfloat16] [--experts E] [--rounds N] [--processor]
//
// The layer is dispatch → grouped up → gelu_tanh → grouped down → weighted combine. Every round
// draws new routes, as every training step does. `ratio` is the median over rounds of the layer's
// seconds by the mlp's beside it. `floor` is what is left to win with library products: the dense
// mlp's time with its products replaced by those of each expert's number of rows, their matrix in
// the caches, and with the reading of all experts' weights twice and the writing of their gradients
// once besides. bench/peers/experts.py runs this beside PyTorch.

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "bench/floor.h"
#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/ops/activation.h"
#include "pointwork/ops/grouped.h"
#include "pointwork/ops/linear.h"
#include "pointwork/ops/rows.h"
#include "pointwork/train/machine.h"

namespace pointwork::bench {
namespace {

constexpr int64_t kWidth = 512, kHidden = 2048;
constexpr auto kActivation = Activation::gelu_tanh;

struct Case {
  int64_t tokens, experts;
  double hot;  // share of the tokens that go to expert 0, beside its fair part of the others
};
constexpr Case kCases[] = {
    {4096, 8, 0}, {4096, 32, 0}, {4096, 64, 0}, {16384, 64, 0}, {4096, 32, 0.5}};

bool processor_seconds = false;

template <class Run>
double seconds(const Run& run) {
  if (!processor_seconds) return seconds_of(run);
  const std::clock_t begin = std::clock();
  run();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Tensor random(at::IntArrayRef sizes, torch::Dtype dtype, double spread = 1) {
  return (torch::randn(sizes) * spread).to(dtype).set_requires_grad(true);
}

struct Routes {
  RowIndex index;
  Tensor offset;  // int32 [E + 1]
  Tensor weight;  // float [T]
};

// Tokens in order of experts, then of rows.
Routes draw(const Case& of, uint64_t seed) {
  std::vector<std::vector<int32_t>> taken(static_cast<size_t>(of.experts));
  for (int64_t t = 0; t < of.tokens; ++t) {
    const auto n = static_cast<uint64_t>(t);
    const uint64_t any = random_below(static_cast<uint64_t>(of.experts), seed, n, 1);
    taken[random_uniform(seed, n) < of.hot ? 0 : any].push_back(static_cast<int32_t>(t));
  }
  std::vector<int32_t> token, offset = {0};
  for (const auto& rows : taken) {
    token.insert(token.end(), rows.begin(), rows.end());
    offset.push_back(static_cast<int32_t>(token.size()));
  }
  Routes routes{{torch::tensor(token, torch::kInt32), {}, {}},
                torch::tensor(offset, torch::kInt32),
                torch::rand({of.tokens}).set_requires_grad(true)};
  std::tie(routes.index.row_offset, routes.index.row_slot) =
      index_slots(routes.index.token, of.tokens);
  return routes;
}

struct Dense {
  Tensor up, down;  // [F, D], [D, F]
  explicit Dense(torch::Dtype dtype)
      : up(random({kHidden, kWidth}, dtype, 0.02)), down(random({kWidth, kHidden}, dtype, 0.02)) {}
  Tensor forward(const Tensor& x) const {
    return project(activate(project(x, up), kActivation), down);
  }
};

struct Experts {
  Tensor up, down;  // [E, F, D], [E, D, F]
  Experts(int64_t count, torch::Dtype dtype)
      : up(random({count, kHidden, kWidth}, dtype, 0.02)),
        down(random({count, kWidth, kHidden}, dtype, 0.02)) {}
  Tensor forward(const Tensor& x, const Routes& routes) const {
    const Tensor slots = dispatch(x, routes.index);
    const Tensor hidden = activate(grouped_project(slots, up, routes.offset), kActivation);
    return combine({}, grouped_project(hidden, down, routes.offset), routes.weight, routes.index);
  }
};

// Forward and backward; gradients are given up afterwards, as an optimizer's step does.
template <class Forward>
double step_seconds(const Forward& forward, const Tensor& gradient, std::vector<Tensor> leaves) {
  const double spent = seconds([&] { forward().backward(gradient); });
  for (Tensor& leaf : leaves) leaf.mutable_grad() = Tensor();
  return spent;
}

// The six products of a step on one matrix of each, rows[i] at a time, each on one thread; or all
// rows at once by the library's own threads.
class Products {
 public:
  Products(const Dense& of, int64_t tokens)
      : up_(of.up.detach()),
        down_(of.down.detach()),
        x_(torch::zeros({tokens, kWidth}, up_.options())),
        hidden_(torch::zeros({tokens, kHidden}, up_.options())),
        d_x_(torch::empty_like(x_)),
        d_hidden_(torch::empty_like(hidden_)) {}

  double all() {
    return seconds([&] { run(0, x_.size(0)); });
  }
  double each(const Tensor& offset) {
    const auto* first = offset.data_ptr<int32_t>();
    const int64_t experts = offset.size(0) - 1;
    std::atomic<int64_t> next{0};
    return seconds([&] {
      at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
        const torch::NoGradGuard no_grad;
        for (int64_t e = next++; e < experts; e = next++) run(first[e], first[e + 1] - first[e]);
      });
    });
  }

 private:
  void run(int64_t first, int64_t count) {
    const torch::NoGradGuard no_grad;
    if (count == 0) return;
    const auto rows = [&](const Tensor& of) { return of.narrow(0, first, count); };
    Tensor d_x = rows(d_x_), d_hidden = rows(d_hidden_);
    at::mm_out(d_hidden, rows(x_), up_.t());
    at::mm_out(d_x, rows(hidden_), up_);
    at::mm_out(d_x, rows(hidden_), down_.t());
    at::mm_out(d_hidden, rows(x_), down_);
    at::mm(rows(hidden_).t(), rows(x_));
    at::mm(rows(x_).t(), rows(hidden_));
  }
  Tensor up_, down_, x_, hidden_, d_x_, d_hidden_;
};

// Bytes a second that all threads read from memory, now.
double read_rate() {
  static const Tensor x = torch::ones({int64_t{1} << 26});
  return static_cast<double>(x.nbytes()) / seconds([] { x.sum(); });
}

nlohmann::ordered_json train(const Case& of, torch::Dtype dtype, int rounds) {
  const Dense dense(dtype);
  const Experts experts(of.experts, dtype);
  const Tensor x = random({of.tokens, kWidth}, dtype);
  const Tensor gradient = random({of.tokens, kWidth}, dtype).detach();
  Products products(dense, of.tokens);
  const auto extra = static_cast<double>(experts.up.nbytes() + experts.down.nbytes() -
                                         dense.up.nbytes() - dense.down.nbytes());
  struct Round {
    double dense, experts, whole, parts, traffic;
  };
  std::vector<Round> all;
  for (int i = -2; i < rounds; ++i) {
    const Routes routes = draw(of, static_cast<uint64_t>(i + 2));
    Round round{};
    const auto run_dense = [&] {
      round.dense =
          step_seconds([&] { return dense.forward(x); }, gradient, {x, dense.up, dense.down});
    };
    if (i % 2 == 0) run_dense();  // neither always runs first
    round.experts = step_seconds([&] { return experts.forward(x, routes); }, gradient,
                                 {x, experts.up, experts.down});
    if (i % 2 != 0) run_dense();
    round.whole = products.all();
    round.parts = products.each(routes.offset);
    round.traffic = 3 * extra / read_rate();
    if (i >= 0) all.push_back(round);  // the first compile kernels
  }
  const auto middle = [&](const auto& value) {
    std::vector<double> values;
    for (const Round& round : all) values.push_back(value(round));
    return median(values);
  };
  return {{"tokens", of.tokens},
          {"experts", of.experts},
          {"hot", of.hot},
          {"dense_seconds", middle([](const Round& r) { return r.dense; })},
          {"experts_seconds", middle([](const Round& r) { return r.experts; })},
          {"ratio", middle([](const Round& r) { return r.experts / r.dense; })},
          {"floor", middle([](const Round& r) {
             return (r.dense - r.whole + r.parts + r.traffic) / r.dense;
           })},
          {"products_ratio", middle([](const Round& r) { return r.parts / r.whole; })},
          {"traffic_ratio", middle([](const Round& r) { return r.traffic / r.dense; })},
          {"flops_per_second", middle([&](const Round& r) {
             return 12.0 * static_cast<double>(of.tokens * kWidth * kHidden) / r.dense;
           })}};
}

// One token, each time through another of the experts, so that none is in a cache of its own
// accord; and one that takes no expert.
nlohmann::ordered_json decode(torch::Dtype dtype, int rounds) {
  const torch::NoGradGuard no_grad;
  const int64_t count = 32;
  const Experts experts(count, dtype);
  const Tensor x = random({1, kWidth}, dtype);
  std::vector<Routes> routes;
  for (int64_t e = 0; e <= count; ++e) {
    std::vector<int32_t> offset(static_cast<size_t>(count) + 1, 0);
    for (int64_t i = e + 1; i <= count; ++i) offset[static_cast<size_t>(i)] = 1;
    const Tensor token = torch::full({1}, e == count ? -1 : 0, torch::kInt32);
    Routes one{{token, {}, {}}, torch::tensor(offset, torch::kInt32), torch::ones({1})};
    std::tie(one.index.row_offset, one.index.row_slot) = index_slots(token, 1);
    routes.push_back(one);
  }
  const auto bytes =
      static_cast<double>(experts.up.nbytes() + experts.down.nbytes()) / static_cast<double>(count);
  std::vector<double> times, ratios;
  for (int i = 0; i < rounds; ++i) {
    const double took = seconds([&] {
                          for (int64_t e = 0; e < count; ++e)
                            experts.forward(x, routes[static_cast<size_t>(e)]);
                        }) /
                        static_cast<double>(count);
    times.push_back(took);
    ratios.push_back(took * read_rate() / bytes);
  }
  const double noop = fastest([&] { experts.forward(x, routes.back()); });
  return {{"seconds", median(times)},
          {"noop_seconds", noop},
          {"bytes", bytes},
          {"ratio", median(ratios)}};
}

void print(const nlohmann::ordered_json& result) {
  std::printf("%s, %d threads\n", result["type"].get<std::string>().c_str(), at::get_num_threads());
  std::printf("%-28s %10s %10s %9s %9s   %s\n", "", "dense", "experts", "ratio", "floor",
              "products, traffic, dense GFLOP/s");
  for (const auto& row : result["training"]) {
    const auto number = [&](const char* name) { return row[name].get<double>(); };
    std::string name =
        concat("T ", row["tokens"].get<int64_t>(), ", E ", row["experts"].get<int64_t>());
    if (number("hot") > 0) name += concat(", ", 100 * number("hot"), " % to one");
    std::printf("%-28s %7.1f ms %7.1f ms %8.3f× %8.3f×   %.3f× +%.3f %4.0f\n", name.c_str(),
                1e3 * number("dense_seconds"), 1e3 * number("experts_seconds"), number("ratio"),
                number("floor"), number("products_ratio"), number("traffic_ratio"),
                number("flops_per_second") / 1e9);
  }
  if (!result.contains("decode")) return;
  const auto& one = result["decode"];
  std::printf("one token: %.1f µs, %.2f× the reading of its expert; no expert: %.1f µs\n",
              1e6 * one["seconds"].get<double>(), one["ratio"].get<double>(),
              1e6 * one["noop_seconds"].get<double>());
}

}  // namespace

void run(std::vector<std::string> arguments) {
  const bool json = std::erase(arguments, "--json") > 0;
  processor_seconds = std::erase(arguments, "--processor") > 0;
  std::string type;
  int rounds = 15, only = 0;
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    if (arguments[i] == "--type") type = arguments[i + 1];
    if (arguments[i] == "--experts") only = std::stoi(arguments[i + 1]);
    if (arguments[i] == "--rounds") rounds = std::stoi(arguments[i + 1]);
  }
  keep_freed_memory();
  torch::manual_seed(1);
  for (const auto& [name, dtype] :
       {std::pair("float32", torch::kFloat32), std::pair("bfloat16", torch::kBFloat16)}) {
    if (!type.empty() && type != name) continue;
    nlohmann::ordered_json result = {{"type", name}, {"threads", at::get_num_threads()}};
    for (const Case& of : kCases)
      if (only == 0 || only == of.experts) result["training"].push_back(train(of, dtype, rounds));
    if (only == 0) result["decode"] = decode(dtype, rounds);
    if (json) {
      std::printf("%s\n", result.dump().c_str());
    } else {
      print(result);
    }
  }
}

}  // namespace pointwork::bench

int main(int argc, char** argv) {
  try {
    pointwork::bench::run({argv + 1, argv + argc});
  } catch (const pointwork::Error& error) {
    std::fprintf(stderr, "experts_bench: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
