#include "pointwork/ops/grouped.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/kernels/few_rows.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Most rows of one product: as many as take the rate of a large one.
constexpr int64_t kTileRows = 512;
// Into how many products the whole is to be cut, so that a crowded expert is shared by all threads,
// and the fewest columns of one. A cut follows from shapes and offsets alone: results depend on no
// number of threads, but where there is one product only, which the library shares as it likes.
constexpr int64_t kTiles = 32, kFewColumns = 32;
// Products this small are not worth waking other threads for.
constexpr int64_t kParallelProducts = 1 << 18;

struct Tile {
  int64_t expert, row, rows, column, columns;
};

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

// For products in bfloat16 oneDNN compiles a kernel of 0.7 MB for each size that it meets, and each
// number of rows is one. So they are multiples of kUnit but for an expert's last, which is small
// enough to be padded with rows whose results are dropped.
constexpr int64_t kUnit = 128;

bool compiles_sizes(torch::Dtype dtype) { return dtype == torch::kBFloat16; }

// Narrower products are slower in proportion.
int64_t least_columns(torch::Dtype dtype) { return dtype == torch::kBFloat16 ? 512 : 256; }

// At most 16 numbers between one and its double.
int64_t padded(int64_t rows, torch::Dtype dtype) {
  if (!compiles_sizes(dtype)) return rows;
  const auto below = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows)));
  const int64_t step = std::max<int64_t>(4, below / 16);
  return (rows + step - 1) / step * step;
}

// Rows of each product of an expert.
std::vector<int64_t> row_counts(int64_t rows, torch::Dtype dtype) {
  const bool units = compiles_sizes(dtype);
  const int64_t unit = units ? kUnit : 1;
  const int64_t last = !units ? 0 : rows < 2 * unit ? rows : unit + rows % unit;
  const int64_t full = (rows - last) / unit, parts = (full * unit + kTileRows - 1) / kTileRows;
  std::vector<int64_t> counts;
  for (int64_t p = 0; p < parts; ++p)
    counts.push_back((full * (p + 1) / parts - full * p / parts) * unit);
  if (last > 0) counts.push_back(last);
  return counts;
}

// Cuts what is `columns` wide, and sorts: the largest first, so that no thread begins a long one
// when the others are done.
class Cut {
 public:
  Cut(const Offsets& offsets, int64_t columns, int64_t least)
      : filled_(std::max<int64_t>(1, offsets.filled())), columns_(columns), least_(least) {}

  void add(int64_t expert, int64_t row, int64_t rows) {
    const int64_t share = kTiles * rows / filled_, most = std::max<int64_t>(1, columns_ / least_);
    // A power of two: few sizes of products.
    const auto parts = static_cast<int64_t>(
        std::bit_floor(static_cast<uint64_t>(std::clamp<int64_t>(share, 1, most))));
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t column = columns_ * p / parts;
      tiles_.push_back({expert, row, rows, column, columns_ * (p + 1) / parts - column});
    }
  }

  std::vector<Tile> sorted() {
    std::stable_sort(tiles_.begin(), tiles_.end(), [](const Tile& a, const Tile& b) {
      return a.rows * a.columns > b.rows * b.columns;
    });
    return std::move(tiles_);
  }

 private:
  int64_t filled_, columns_, least_;
  std::vector<Tile> tiles_;
};

std::vector<Tile> cut_rows(const Offsets& offsets, int64_t columns, int64_t least,
                           torch::Dtype dtype) {
  Cut cut(offsets, columns, least);
  for (int64_t e = 0; e < offsets.experts(); ++e) {
    int64_t row = offsets.begin(e);
    for (const int64_t rows : row_counts(offsets.rows(e), dtype)) {
      cut.add(e, row, rows);
      row += rows;
    }
  }
  return cut.sorted();
}

// Each task once (each product is `depth` wide), by whichever thread is free. LibTorch's own
// threads, in which products take one thread each and errors come back to the caller.
template <class Task>
void share(const std::vector<Tile>& tiles, int64_t depth, const Task& task) {
  std::atomic<size_t> next{0};
  int64_t products = 0;
  for (const Tile& tile : tiles) products += tile.rows * tile.columns * depth;
  const auto workers =
      products < kParallelProducts
          ? 1
          : std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(tiles.size()));
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView plain;  // each thread has its own
    for (size_t i = next++; i < tiles.size(); i = next++) task(tiles[i]);
  });
}

Tensor with_zeros(const Tensor& rows, int64_t count) {
  if (rows.size(0) == count) return rows;
  Tensor made = at::empty({count, rows.size(1)}, rows.options());
  made.narrow(0, 0, rows.size(0)).copy_(rows);
  made.narrow(0, rows.size(0), count - rows.size(0)).zero_();
  return made;
}

// to[tile] = x[tile] · by (+ bias)
void multiply(const Tensor& x, const Tensor& by, const Tensor& bias, const Tensor& to,
              const Tile& tile, const Offsets& offsets) {
  const int64_t count = padded(tile.rows, x.scalar_type());
  // What is multiplied in vain may be anyone's rows, but nobody's have never been written.
  const Tensor from = tile.row + count <= offsets.filled()
                          ? x.narrow(0, tile.row, count)
                          : with_zeros(x.narrow(0, tile.row, tile.rows), count);
  Tensor out = to.narrow(0, tile.row, tile.rows).narrow(1, tile.column, tile.columns);
  Tensor all = count == tile.rows ? out : at::empty({count, tile.columns}, x.options());
  if (bias.defined()) {
    at::addmm_out(all, bias, from, by);
  } else {
    at::mm_out(all, from, by);
  }
  if (count != tile.rows) out.copy_(all.narrow(0, 0, tile.rows));
}

Tensor empty_rows(const Tensor& x, int64_t columns, const Offsets& offsets) {
  Tensor out = torch::empty({x.size(0), columns}, x.options());
  out.narrow(0, offsets.filled(), x.size(0) - offsets.filled()).zero_();
  return out;
}

// y[n] = weight[e] x[n] (+ bias[e])
Tensor project_rows(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    const Offsets& offsets) {
  const int64_t in = weight.size(2), columns = weight.size(1);
  Tensor y = empty_rows(x, columns, offsets);
  const int64_t most =
      dispatch_type(x, [](auto type) { return kernels::kFewRows<decltype(type)>; });
  const int64_t least = offsets.filled() <= most ? kFewColumns : least_columns(x.scalar_type());
  share(cut_rows(offsets, columns, least, x.scalar_type()), in, [&](const Tile& tile) {
    if (tile.rows <= most) {
      dispatch_type(x, [&](auto type) {
        using T = decltype(type);
        const int64_t first = tile.expert * columns + tile.column;
        kernels::cpu::project_few(kernel_data<T>(x) + tile.row * in,
                                  kernel_data<T>(weight) + first * in,
                                  bias.defined() ? kernel_data<T>(bias) + first : nullptr,
                                  kernel_data<T>(y) + tile.row * columns + tile.column, tile.rows,
                                  in, tile.columns, columns);
      });
      return;
    }
    const auto part = [&](const Tensor& of) {
      return of.select(0, tile.expert).narrow(0, tile.column, tile.columns);
    };
    multiply(x, part(weight).t(), bias.defined() ? part(bias) : bias, y, tile, offsets);
  });
  return y;
}

// d_x[n] = weight[e]ᵀ d_y[n]
Tensor input_gradient(const Tensor& d_y, const Tensor& weight, const Offsets& offsets) {
  const int64_t columns = weight.size(2);
  const auto dtype = weight.scalar_type();
  Tensor d_x = empty_rows(d_y, columns, offsets);
  share(cut_rows(offsets, columns, least_columns(dtype), dtype), d_y.size(1),
        [&](const Tile& tile) {
          const Tensor by = weight.select(0, tile.expert).narrow(1, tile.column, tile.columns);
          multiply(d_y, by, {}, d_x, tile, offsets);
        });
  return d_x;
}

// d_weight[e] = Σ d_y[n] ⊗ x[n], and d_bias[e] = Σ d_y[n] where it is defined.
Tensor weight_gradient(const Tensor& d_y, const Tensor& x, const Tensor& d_bias,
                       const Offsets& offsets) {
  const int64_t columns = d_y.size(1);
  Tensor d_weight = torch::empty({offsets.experts(), columns, x.size(1)}, x.options());
  // A sum is never cut: it is rounded once.
  Cut cut(offsets, columns, least_columns(x.scalar_type()));
  for (int64_t e = 0; e < offsets.experts(); ++e) cut.add(e, offsets.begin(e), offsets.rows(e));
  share(cut.sorted(), x.size(1), [&](const Tile& tile) {
    const auto part = [&](const Tensor& of) {
      return of.select(0, tile.expert).narrow(0, tile.column, tile.columns);
    };
    Tensor to = part(d_weight), sums = d_bias.defined() ? part(d_bias) : d_bias;
    if (tile.rows == 0) {
      to.zero_();
      if (sums.defined()) sums.zero_();
      return;
    }
    const int64_t count = padded(tile.rows, x.scalar_type());
    const Tensor pull = d_y.narrow(0, tile.row, tile.rows).narrow(1, tile.column, tile.columns);
    at::mm_out(to, with_zeros(pull, count).t(),
               with_zeros(x.narrow(0, tile.row, tile.rows), count));
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
    return project_rows(x, weight, bias, Offsets(offset));
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const Offsets offsets(saved[2]);
    const Tensor d_y = grads[0].contiguous();
    Tensor d_x, d_weight, d_bias;
    if (ctx->needs_input_grad(0)) d_x = input_gradient(d_y, weight, offsets);
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

Tensor expert_of_rows(const Tensor& offset, int64_t rows) {
  const Tensor row = torch::arange(rows, offset.options());
  return at::searchsorted(offset.slice(0, 1), row, /*out_int32=*/true, /*right=*/true);
}

// A gather by experts; an expert's rows are its slots.
Tensor spread_rows(const Tensor& table, const Tensor& offset, int64_t rows) {
  check(table.dim() == 2, "[spread_rows] table must be [E, D] but has shape ", table.sizes());
  const int64_t experts = table.size(0);
  check_offset("spread_rows", offset, experts, rows);
  const Tensor row = torch::arange(rows, offset.options());
  const Tensor expert = expert_of_rows(offset, rows);
  return dispatch(table, {expert.masked_fill(expert.eq(experts), -1), offset, row});
}

}  // namespace pointwork
