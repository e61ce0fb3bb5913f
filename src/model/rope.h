// Rotary position embedding's frequencies from a configuration, as mlx-lm computes them
// (mlx_lm/models/rope_utils.py), in double precision and rounded once.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace mlxd {

/// Reads rope_theta and rope_scaling, or transformers 5's rope_parameters, which holds both. Types default,
/// linear, dynamic and llama3; others are kUnsupported. `rotary_dim` is even.
Result<RopeSpec> read_rope(const ConfigReader& config, std::int32_t rotary_dim, bool traditional);

}  // namespace mlxd
