// Adapters in the reference executor: the rule of cpu_adapter.h in plain loops.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/cpu/cpu_adapter.h"
#include "backends/cpu/reference_weights.h"
#include "base/result.h"
#include "generation/token.h"
#include "model/model_spec.h"

namespace mlxd {

/// Tells an adapter's builder of all products, by the addresses of their weights in `model`.
Result<void> list_products(CpuAdapterBuilder& builder, const DenseModel& model, const ModelSpec& spec);

/// nullptr: the adapter, if there is one, changes nothing of it.
const LowRankProduct* find_product(const CpuAdapter* adapter, const DenseLinear* linear);

/// [num_ranks] of a product's input x [in_features].
std::vector<float> inner_values(const LowRankProduct& low, const float* x);
/// Outputs [first, last) of y, a whole row, become those with the adapter.
void add_outer(const LowRankProduct& low, const std::vector<float>& inner, std::int32_t first,
               std::int32_t last, float* y);

/// x [in_features], a row of an embedding, becomes that with the adapter.
void adapt_embedding(const LowRankProduct& low, TokenId token, float* x);

/// Of a product that goes from outputs [first, last) back to the inputs: x [last - first] becomes what the
/// weights themselves take, and the inner values of it as it was are returned.
std::vector<float> take_backwards(const LowRankProduct& low, std::int32_t first, std::int32_t last, float* x);
/// y [in_features] += what they make.
void add_backwards(const LowRankProduct& low, const std::vector<float>& inner, float* y);

}  // namespace mlxd
