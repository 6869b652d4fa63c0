#include "pointwork/nn/compose.h"

namespace pointwork {
namespace {

using Children = std::vector<std::pair<std::string, BranchPtr>>;

void append_routes(Output& sum, Output& next) {
  for (Route& route : next.routes) sum.routes.push_back(std::move(route));
}

void append(Output& sum, Output&& next) {
  append_routes(sum, next);
  for (RouterState& one : next.state) sum.state.push_back(std::move(one));
}

int64_t sum_routers(const Children& children) {
  int64_t sum = 0;
  for (const auto& [name, child] : children) sum += child->routers();
  return sum;
}

int64_t number_all(const Children& children, int64_t first) {
  for (const auto& [name, child] : children) first = child->number_sites(first);
  return first;
}

double sum_kept(const Children& children, const Extent& extent, double element) {
  double sum = 0;
  for (const auto& [name, child] : children) sum += child->kept_bytes(extent, element);
  return sum;
}

double sum_cached(const Children& children, int64_t step) {
  double sum = 0;
  for (const auto& [name, child] : children) sum += child->cached_values_per_token(step);
  return sum;
}

}  // namespace

// Hands each child its own part of a state.
class StateParts {
 public:
  explicit StateParts(const State& state) : state_(state) {}
  State next(const Branch& child) {
    if (state_.empty()) return {};
    const auto begin = state_.begin() + at_;
    at_ += child.routers();
    return {begin, state_.begin() + at_};
  }

 private:
  const State& state_;
  int64_t at_ = 0;
};

Chain::Chain(const Children& children) : children_(children) {
  for (const auto& [name, child] : children_) register_module(name, child);
}

Output Chain::forward(const Tensor& x, const State& state, Context& ctx) {
  StateParts states(state);
  Output sum = children_.front().second->forward(x, states.next(*children_.front().second), ctx);
  Tensor stream = x;
  Tensor last = sum.delta;
  for (size_t i = 1; i < children_.size(); ++i) {
    Branch& child = *children_[i].second;
    stream = stream + last;
    Output next = child.forward(stream, states.next(child), ctx);
    last = next.delta;
    sum.delta = sum.delta + last;
    append(sum, std::move(next));
  }
  return sum;
}

Output Chain::add_to(const Tensor& x, const State& state, Context& ctx) {
  StateParts states(state);
  Output sum{x, {}, {}};
  for (const auto& [name, child] : children_) {
    Output next = child->add_to(sum.delta, states.next(*child), ctx);
    sum.delta = next.delta;
    append(sum, std::move(next));
  }
  return sum;
}

int64_t Chain::routers() const { return sum_routers(children_); }

void Chain::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  for (const auto& [child_name, child] : children_)
    child->flops(extent, name + "." + child_name, parts);
}

double Chain::kept_bytes(const Extent& extent, double element) const {
  return sum_kept(children_, extent, element);
}

int64_t Chain::number_sites(int64_t first) { return number_all(children_, first); }

double Chain::cached_values_per_token(int64_t step) const { return sum_cached(children_, step); }

Parallel::Parallel(const Children& children, std::shared_ptr<Norm> norm)
    : children_(children), norm_(std::move(norm)) {
  if (norm_) register_module("norm", norm_);
  for (const auto& [name, child] : children_) register_module(name, child);
}

Output Parallel::forward(const Tensor& x, const State& state, Context& ctx) {
  StateParts states(state);
  const Tensor read = norm_ ? norm_->forward(x) : x;
  Branch& first = *children_.front().second;
  return rest(first.forward(read, states.next(first), ctx), read, states, ctx);
}

Output Parallel::add_to(const Tensor& x, const State& state, Context& ctx) {
  if (norm_) return Branch::add_to(x, state, ctx);  // a child's add_to would add what it reads
  StateParts states(state);
  Branch& first = *children_.front().second;
  return rest(first.add_to(x, states.next(first), ctx), x, states, ctx);
}

Output Parallel::rest(Output sum, const Tensor& x, StateParts& states, Context& ctx) {
  for (size_t i = 1; i < children_.size(); ++i) {
    Branch& child = *children_[i].second;
    Output next = child.forward(x, states.next(child), ctx);
    sum.delta = sum.delta + next.delta;
    append(sum, std::move(next));
  }
  return sum;
}

int64_t Parallel::routers() const { return sum_routers(children_); }

void Parallel::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  if (norm_) {
    const double size = parameter_count(*norm_);
    parts.push_back({name + ".norm", 0, size, size * extent.share()});
  }
  for (const auto& [child_name, child] : children_)
    child->flops(extent, name + "." + child_name, parts);
}

double Parallel::kept_bytes(const Extent& extent, double element) const {
  const double rows =
      norm_ ? extent.total() * static_cast<double>(norm_->weight.numel()) * element : 0;
  return rows + sum_kept(children_, extent, element);
}

int64_t Parallel::number_sites(int64_t first) { return number_all(children_, first); }

double Parallel::cached_values_per_token(int64_t step) const { return sum_cached(children_, step); }

Repeat::Repeat(BranchPtr body, int64_t times) : body_(std::move(body)), times_(times) {
  register_module("body", body_);
}

template <class Round>
void Repeat::rounds(Context& ctx, const Round& body) {
  const int64_t site = ctx.site_offset, outer = ctx.round;
  for (int64_t round = 0; round < times_; ++round) {
    ctx.site_offset = site + round * sites_;
    ctx.round = outer * times_ + round;
    body(round);
  }
  ctx.site_offset = site;
  ctx.round = outer;
}

Output Repeat::forward(const Tensor& x, const State&, Context& ctx) {
  Output sum;
  State state;
  rounds(ctx, [&](int64_t round) {
    Output next = body_->forward(round == 0 ? x : x + sum.delta, state, ctx);
    sum.delta = round == 0 ? next.delta : sum.delta + next.delta;
    state = std::move(next.state);
    append_routes(sum, next);
  });
  return sum;
}

Output Repeat::add_to(const Tensor& x, const State&, Context& ctx) {
  Output sum{x, {}, {}};
  State state;
  rounds(ctx, [&](int64_t) {
    Output next = body_->add_to(sum.delta, state, ctx);
    sum.delta = next.delta;
    state = std::move(next.state);
    append_routes(sum, next);
  });
  return sum;
}

void Repeat::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  const size_t begin = parts.size();
  Extent inner = extent;
  for (int64_t round = 0; round < times_; ++round) {
    inner.round = extent.round * times_ + round;
    FlopParts again;
    body_->flops(inner, name, again);  // rounds differ: measured rows, routers without a state yet
    if (round == 0) parts.insert(parts.end(), again.begin(), again.end());
    for (size_t i = 0; round > 0 && i < again.size(); ++i) {
      parts[begin + i].flops += again[i].flops;
      parts[begin + i].masked += again[i].masked;
    }
  }
}

double Repeat::kept_bytes(const Extent& extent, double element) const {
  return static_cast<double>(times_) * body_->kept_bytes(extent, element);
}

int64_t Repeat::number_sites(int64_t first) {
  sites_ = body_->number_sites(first) - first;
  return first + times_ * sites_;
}

double Repeat::cached_values_per_token(int64_t step) const {
  return static_cast<double>(times_) * body_->cached_values_per_token(step);
}

}  // namespace pointwork
