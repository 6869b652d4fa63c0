#include "pointwork/ops/grouped.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Rows of a product, and rows of an expert's matrix: so many that a product of a tile runs at the
// rate of a large one, and so few that a crowded expert is shared by all threads. They follow from
// shapes and offsets alone, so results depend on no number of threads.
constexpr int64_t kTileRows = 256, kTileColumns = 512;

struct Tile {
  int64_t expert, first, count;
};

// The largest first: then no thread begins a long one when the others are done.
void sort_by_size(std::vector<Tile>& tiles) {
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const Tile& a, const Tile& b) { return a.count > b.count; });
}

// Each task once, by whichever thread is free. LibTorch's own threads, in which products take one
// thread each and errors come back to the caller.
template <class Task>
void share(const std::vector<Tile>& tiles, const Task& task) {
  std::atomic<size_t> next{0};
  const auto workers = std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(tiles.size()));
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView plain;  // each thread has its own
    for (size_t i = next++; i < tiles.size(); i = next++) task(tiles[i]);
  });
}

class Offsets {
 public:
  explicit Offsets(const Tensor& offset)
      : first_(offset.data_ptr<int32_t>()), experts_(offset.size(0) - 1) {}
  int64_t experts() const { return experts_; }
  int64_t begin(int64_t e) const { return first_[e]; }
  int64_t rows(int64_t e) const { return first_[e + 1] - first_[e]; }
  int64_t filled() const { return first_[experts_]; }

 private:
  const int32_t* first_;
  int64_t experts_;
};

// out[n] = x[n] · matrix[e] (+ bias[e]). matrix [E, in, out]
Tensor multiply_rows(const Tensor& x, const Tensor& matrix, const Tensor& bias,
                     const Offsets& offsets) {
  Tensor out = torch::empty({x.size(0), matrix.size(2)}, x.options());
  std::vector<Tile> tiles;
  for (int64_t e = 0; e < offsets.experts(); ++e) {
    const int64_t rows = offsets.rows(e), parts = (rows + kTileRows - 1) / kTileRows;
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t first = rows * p / parts, last = rows * (p + 1) / parts;
      tiles.push_back({e, offsets.begin(e) + first, last - first});
    }
  }
  sort_by_size(tiles);
  share(tiles, [&](const Tile& tile) {
    Tensor rows = out.narrow(0, tile.first, tile.count);
    const Tensor from = x.narrow(0, tile.first, tile.count), by = matrix.select(0, tile.expert);
    if (bias.defined()) {
      at::addmm_out(rows, bias.select(0, tile.expert), from, by);
    } else {
      at::mm_out(rows, from, by);
    }
  });
  out.narrow(0, offsets.filled(), x.size(0) - offsets.filled()).zero_();
  return out;
}

// d_weight[e] = Σ d_y[n] ⊗ x[n], and d_bias[e] = Σ d_y[n] where it is defined.
Tensor weight_gradient(const Tensor& d_y, const Tensor& x, const Tensor& d_bias,
                       const Offsets& offsets) {
  const int64_t out = d_y.size(1);
  Tensor d_weight = torch::empty({offsets.experts(), out, x.size(1)}, x.options());
  const int64_t parts = (out + kTileColumns - 1) / kTileColumns;
  std::vector<Tile> experts;
  for (int64_t e = 0; e < offsets.experts(); ++e) experts.push_back({e, 0, offsets.rows(e)});
  sort_by_size(experts);
  std::vector<Tile> tiles;
  for (const Tile& expert : experts) {
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t first = out * p / parts, last = out * (p + 1) / parts;
      tiles.push_back({expert.expert, first, last - first});
    }
  }
  share(tiles, [&](const Tile& tile) {
    const int64_t e = tile.expert, rows = offsets.rows(e);
    Tensor to = d_weight.select(0, e).narrow(0, tile.first, tile.count);
    Tensor sums = d_bias.defined() ? d_bias.select(0, e).narrow(0, tile.first, tile.count) : d_bias;
    if (rows == 0) {
      to.zero_();
      if (sums.defined()) sums.zero_();
      return;
    }
    const Tensor pull = d_y.narrow(0, offsets.begin(e), rows).narrow(1, tile.first, tile.count);
    at::mm_out(to, pull.t(), x.narrow(0, offsets.begin(e), rows));
    if (sums.defined()) at::sum_out(sums, pull, {0});
  });
  return d_weight;
}

class GroupedProject : public torch::autograd::Function<GroupedProject> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x, const Variable& weight,
                        const Tensor& offset, const std::optional<Variable>& maybe_bias) {
    const Tensor bias = maybe_bias.value_or(Tensor());
    ctx->save_for_backward({x, weight, offset});
    ctx->saved_data["bias"] = bias.defined() && bias.requires_grad();
    return multiply_rows(x, weight.transpose(1, 2), bias, Offsets(offset));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Offsets offsets(saved[2]);
    const Tensor d_y = grads[0].contiguous();
    Tensor d_x, d_weight, d_bias;
    if (ctx->needs_input_grad(0)) d_x = multiply_rows(d_y, weight, {}, offsets);
    if (ctx->saved_data["bias"].toBool()) {
      d_bias = torch::empty({weight.size(0), weight.size(1)}, d_y.options());
    }
    if (ctx->needs_input_grad(1) || d_bias.defined()) {
      d_weight = weight_gradient(d_y, x, d_bias, offsets);
    }
    return {d_x, d_weight, {}, d_bias};
  }
};

// The specification: one product an expert. It waits for the device to tell the offsets.
Tensor composite(const Tensor& x, const Tensor& weight, const Tensor& offset, const Tensor& bias) {
  const Tensor host = offset.cpu();
  const Offsets offsets(host);
  const std::vector<Tensor> matrix = weight.unbind(0);
  std::vector<Tensor> parts;
  for (int64_t e = 0; e < offsets.experts(); ++e) {
    const Tensor rows = x.narrow(0, offsets.begin(e), offsets.rows(e));
    const Tensor by = matrix[static_cast<size_t>(e)].t();
    parts.push_back(bias.defined() ? at::addmm(bias.select(0, e), rows, by) : at::mm(rows, by));
  }
  parts.push_back(torch::zeros({x.size(0) - offsets.filled(), weight.size(1)}, x.options()));
  return at::cat(parts);
}

void check_offset(const char* op, const Tensor& offset, int64_t experts, int64_t rows) {
  check(offset.dim() == 1 && offset.size(0) == experts + 1 && offset.scalar_type() == torch::kInt32,
        "[", op, "] offset must be int32 [", experts + 1, "] but is ", offset.scalar_type(), " ",
        offset.sizes());
  // Elsewhere than on the CPU reading them would wait for the device.
  if (!offset.is_cpu()) return;
  const int32_t* first = offset.data_ptr<int32_t>();
  const std::vector<int64_t> all(first, first + experts + 1);
  check(all[0] == 0 && std::is_sorted(all.begin(), all.end()) && all.back() <= rows, "[", op,
        "] offsets must ascend from 0 to at most ", rows, " but are ", at::IntArrayRef(all));
}

}  // namespace

Tensor grouped_project(const Tensor& x, const Tensor& weight, const Tensor& offset,
                       const Tensor& bias) {
  check(weight.dim() == 3, "[grouped_project] weight must be [E, out, in] but has shape ",
        weight.sizes());
  check(x.dim() == 2 && x.size(1) == weight.size(2), "[grouped_project] x must be [N, ",
        weight.size(2), "] but has shape ", x.sizes());
  check(x.scalar_type() == weight.scalar_type(), "[grouped_project] weight must be ",
        x.scalar_type(), " as x is but is ", weight.scalar_type());
  check(!bias.defined() || bias.sizes() == weight.sizes().slice(0, 2),
        "[grouped_project] bias must be [", weight.size(0), ", ", weight.size(1),
        "] but has shape ", bias.defined() ? bias.sizes() : x.sizes());
  check_offset("grouped_project", offset, weight.size(0), x.size(0));
  if (!use_kernel(x)) return composite(x, weight, offset, bias);
  return GroupedProject::apply(x.contiguous(), weight.contiguous(), offset.contiguous(),
                               bias.defined() ? std::optional(bias.contiguous()) : std::nullopt);
}

// A gather by experts; an expert's rows are its slots.
Tensor spread_rows(const Tensor& table, const Tensor& offset, int64_t rows) {
  check(table.dim() == 2, "[spread_rows] table must be [E, D] but has shape ", table.sizes());
  const int64_t experts = table.size(0);
  check_offset("spread_rows", offset, experts, rows);
  const Tensor row = torch::arange(rows, offset.options());
  const Tensor expert = at::searchsorted(offset.slice(0, 1), row, /*out_int32=*/true,
                                         /*right=*/true);
  return dispatch(table, {expert.masked_fill(expert.eq(experts), -1), offset, row});
}

}  // namespace pointwork
