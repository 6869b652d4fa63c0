#pragma once
// What keeps the loads of experts alike. Each function takes one layer: losses of several are added
// or averaged by the caller, since loads of different layers must not make up for one another.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// M · Σ_i f_i · P_i of each group, averaged over groups (Switch eq. 4-6, without α): f_i is i's
// share of the k choices of valid rows before drops, without a gradient; P_i its mean probability
// over valid rows. 1 where loads are even. With `choices` below M, experts only: f and P of the
// first `choices` columns, each divided by its sum. A group with nothing to balance (no valid row,
// or none that chose an expert) takes no part. probability float [T, M], whose rows add up to 1;
// choice int32 [T, k], kEmpty: none; group: rows of a group, the last may have fewer, 0: all are
// one; valid bool [T] or undefined → []
Tensor balance_loss(const Tensor& probability, const Tensor& choice, int64_t choices, int64_t group,
                    const Tensor& valid);

// Mean over valid rows of logsumexp² (ST-MoE, arXiv:2202.08906, eq. 5). logits [T, M] → []
Tensor router_z_loss(const Tensor& logits, const Tensor& valid);

}  // namespace pointwork
