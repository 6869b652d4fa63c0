#pragma once
// chain, parallel and repeat: branches of branches.

#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"

namespace pointwork {

// Each child sees x + the sum of what came before it.
class Chain : public Branch {
 public:
  explicit Chain(const std::vector<std::pair<std::string, BranchPtr>>& children);
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  int64_t routers() const override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

 private:
  std::vector<std::pair<std::string, BranchPtr>> children_;
};

class StateParts;

// Every child sees x (GPT-NeoX).
class Parallel : public Branch {
 public:
  // `norm`: the one whose rows all children read; null: each has its own.
  explicit Parallel(const std::vector<std::pair<std::string, BranchPtr>>& children,
                    std::shared_ptr<Norm> norm = nullptr);
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  int64_t routers() const override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

 private:
  Output rest(Output sum, const Tensor& x, StateParts& states, Context& ctx);

  std::vector<std::pair<std::string, BranchPtr>> children_;
  std::shared_ptr<Norm> norm_;
};

// The same body `times` times, as a chain of itself; the rounds share weights, not cache sites.
// Their routers begin anew, and keep their state for each row from round to round.
class Repeat : public Branch {
 public:
  Repeat(BranchPtr body, int64_t times);
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

 private:
  template <class Round>
  void rounds(Context& ctx, const Round& body);

  BranchPtr body_;
  int64_t times_;
  int64_t sites_ = 0;  // of the body
};

}  // namespace pointwork
