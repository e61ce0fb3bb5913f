// Weights read from a model folder into fp32 arrays: norms for every executor, whole layers for the
// reference. Errors: kCorruptData for a missing tensor, a shape that is not the spec's, NaN or infinity,
// naming the tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

/// A norm ready to be applied: y = (x − mean, of kLayer) / deviation · weight + bias.
struct DenseNorm {
  NormKind kind = NormKind::kRms;
  float eps = 0.0F;
  std::vector<float> weight;  // [size], weight_offset added; ones if there is none
  std::vector<float> bias;    // [size], or empty
};
Result<DenseNorm> read_norm(const NormSpec& spec, const WeightMap& weights);

/// A tensor of `size` floats.
Result<std::vector<float>> read_vector(const std::string& name, std::int32_t size, const WeightMap& weights);

/// A linear layer's weights in fp32 [out_features, in_features], dequantized; its pages are dropped.
Result<std::vector<float>> read_linear(const LinearSpec& spec, const WeightMap& weights);

/// The same of a layer that stacks the transposed weights of `heads` heads: [heads, in_features, rows of a
/// head].
Result<std::vector<float>> read_transposed_heads(const LinearSpec& spec, std::int32_t heads,
                                                 const WeightMap& weights);

/// Its bias [out_features], or nothing if it has none.
Result<std::vector<float>> read_bias(const LinearSpec& spec, const WeightMap& weights);

}  // namespace mlxd
