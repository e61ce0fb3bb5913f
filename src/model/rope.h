// Rotary position embedding's frequencies from a configuration, as mlx-lm computes them
// (mlx_lm/models/rope_utils.py), in double precision and rounded once.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace mlxd {

struct RopeOptions {
  std::int32_t rotary_dim = 0;  // even
  bool traditional = false;
  double default_theta = 10000.0;
  /// Instead of the configuration's.
  std::optional<double> theta{};
  /// Theta and scaling, instead of rope_parameters and rope_scaling.
  const ConfigReader* parameters = nullptr;
  /// Whether the configuration's scaling applies.
  bool scaled = true;
};

/// Reads rope_theta and rope_scaling, or transformers 5's rope_parameters, which holds both. Types default,
/// linear, dynamic, llama3, yarn, longrope (su), proportional and mrope (of text: default); others are
/// kUnsupported.
Result<RopeSpec> read_rope(const ConfigReader& config, const RopeOptions& options);

/// What yarn's mscale_all_dim multiplies the attention's scale with; 1 where there is none.
Result<double> read_yarn_attention_factor(const ConfigReader& config);

}  // namespace mlxd
