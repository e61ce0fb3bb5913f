// What MLX calls the tensors of checkpoints as Hugging Face's transformers writes them. The layouts that
// differ besides (fused experts, transposed matrices) are an architecture's own to know.
#pragma once

#include "base/result.h"
#include "model/config_reader.h"
#include "model/weight_map.h"

namespace mlxd {

/// Gives tensors MLX's names, as the sanitize functions of mlx-lm's models do; what has them keeps them.
/// - Text models beside a vision tower: model.language_model.X, or model.X where the tower is called visual,
///   is language_model.model.X, and lm_head.X language_model.lm_head.X.
/// - Stacked experts without ".weight" get it; NAME_blocks and NAME_scales are mxfp4 words and their scales.
/// - compressed-tensors' mxfp4 as MLX's.
/// - Names of single model types: gpt2, gpt_neox, exaone_moe, granitemoe, granitemoehybrid.
/// Errors: kCorruptData if a model has a tensor in both forms.
Result<void> use_mlx_names(const ConfigReader& config, WeightMap& weights);

}  // namespace mlxd
