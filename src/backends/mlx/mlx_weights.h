// A model's weights in MLX's memory: dense values, norms and scales in fp32, quantized codes as they are.
// Includes MLX's headers: for mlx_*.cpp only. Arrays belong to the thread that read them.
#pragma once

#include <mlx/array.h>
#include <mlx/stream.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

/// A LinearSpec's tensors; scales are present if it is quantized, biases if it is so in mode affine.
struct MlxLinear {
  mlx::core::array weight;  // dense fp32 [out, in], or codes uint32 [out, in * bits / 32]
  std::optional<mlx::core::array> scales, biases, bias;
  Quantization quantization;
};

struct MlxLayer {
  mlx::core::array attention_norm, mlp_norm;
  MlxLinear q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj;
};

struct MlxWeights {
  /// Copies all tensors, dropping each one's pages as it goes. `progress` as in MlxOptions. Errors:
  /// kCorruptData (missing, NaN or infinity), naming the tensor; kUnsupported; kInternal (MLX failed).
  static Result<MlxWeights> read(const ModelSpec& spec, const WeightMap& weights,
                                 const mlx::core::Stream& stream, const std::function<void(float)>& progress);

  MlxLinear embedding;
  std::vector<MlxLayer> layers;
  mlx::core::array final_norm;       // norms have their offset added
  std::optional<MlxLinear> lm_head;  // absent: the embedding serves
  std::size_t num_bytes = 0;
};

}  // namespace mlxd
