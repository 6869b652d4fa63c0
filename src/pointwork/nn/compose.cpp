#include "pointwork/nn/compose.h"

namespace pointwork {
namespace {

using Children = std::vector<std::pair<std::string, BranchPtr>>;

void append(std::vector<Route>& routes, std::vector<Route>&& more) {
  for (Route& route : more) routes.push_back(std::move(route));
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

Chain::Chain(const Children& children) : children_(children) {
  for (const auto& [name, child] : children_) register_module(name, child);
}

Output Chain::forward(const Tensor& x, Context& ctx) {
  Output sum = children_.front().second->forward(x, ctx);
  Tensor stream = x;
  Tensor last = sum.delta;
  for (size_t i = 1; i < children_.size(); ++i) {
    stream = stream + last;
    Output next = children_[i].second->forward(stream, ctx);
    last = next.delta;
    sum.delta = sum.delta + last;
    append(sum.routes, std::move(next.routes));
  }
  return sum;
}

Output Chain::add_to(const Tensor& x, Context& ctx) {
  Output sum{x, {}};
  for (const auto& [name, child] : children_) {
    Output next = child->add_to(sum.delta, ctx);
    sum.delta = next.delta;
    append(sum.routes, std::move(next.routes));
  }
  return sum;
}

void Chain::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  for (const auto& [child_name, child] : children_)
    child->flops(extent, name + "." + child_name, parts);
}

double Chain::kept_bytes(const Extent& extent, double element) const {
  return sum_kept(children_, extent, element);
}

int64_t Chain::number_sites(int64_t first) { return number_all(children_, first); }

double Chain::cached_values_per_token(int64_t step) const { return sum_cached(children_, step); }

Parallel::Parallel(const Children& children) : children_(children) {
  for (const auto& [name, child] : children_) register_module(name, child);
}

Output Parallel::forward(const Tensor& x, Context& ctx) {
  Output sum = children_.front().second->forward(x, ctx);
  for (size_t i = 1; i < children_.size(); ++i) {
    Output next = children_[i].second->forward(x, ctx);
    sum.delta = sum.delta + next.delta;
    append(sum.routes, std::move(next.routes));
  }
  return sum;
}

Output Parallel::add_to(const Tensor& x, Context& ctx) {
  Output sum = children_.front().second->add_to(x, ctx);
  for (size_t i = 1; i < children_.size(); ++i) {
    Output next = children_[i].second->forward(x, ctx);
    sum.delta = sum.delta + next.delta;
    append(sum.routes, std::move(next.routes));
  }
  return sum;
}

void Parallel::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  for (const auto& [child_name, child] : children_)
    child->flops(extent, name + "." + child_name, parts);
}

double Parallel::kept_bytes(const Extent& extent, double element) const {
  return sum_kept(children_, extent, element);
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

Output Repeat::forward(const Tensor& x, Context& ctx) {
  Output sum;
  rounds(ctx, [&](int64_t round) {
    Output next = body_->forward(round == 0 ? x : x + sum.delta, ctx);
    sum.delta = round == 0 ? next.delta : sum.delta + next.delta;
    append(sum.routes, std::move(next.routes));
  });
  return sum;
}

Output Repeat::add_to(const Tensor& x, Context& ctx) {
  Output sum{x, {}};
  rounds(ctx, [&](int64_t) {
    Output next = body_->add_to(sum.delta, ctx);
    sum.delta = next.delta;
    append(sum.routes, std::move(next.routes));
  });
  return sum;
}

void Repeat::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  const size_t begin = parts.size();
  body_->flops(extent, name, parts);
  for (int64_t round = 1; round < times_; ++round) {
    FlopParts again;
    body_->flops(extent, name, again);  // with measured rows each round has its own
    for (size_t i = 0; i < again.size(); ++i) {
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
