// Recurrent layers of a decoder's plan (decoder_plan.h): sizes and names of what RecurrentSpec describes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/architectures/architecture.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace mlxd {

/// Names follow the layer's and `prefix`.
struct RecurrentPlan {
  RecurrentKind kind = RecurrentKind::kShortConv;
  std::string prefix;
  std::int64_t heads = 0;
  std::int64_t key_heads = 0;
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t kernel = 0;
  bool conv_bias = false;
  bool projection_bias = false;
  /// kGatedDelta: in_proj_qkvz and in_proj_ba hold, for each key head, what belongs to it; else in_proj_qkv,
  /// in_proj_z, in_proj_b and in_proj_a hold them one after the other.
  bool grouped_projections = false;
  double min_time_step = 0.0;
  double max_time_step = 0.0;
  bool norm = true;
  std::int64_t norm_groups = 1;  // kMamba2: equal parts of all heads' outputs that are normed each for itself
  double eps = 1e-6;

  /// linear_* of Qwen3-Next and its kin.
  static Result<RecurrentPlan> read_gated_delta(const ConfigReader& config, double eps);
  /// Reads time_step_limit [min, max].
  Result<void> read_time_steps(const ConfigReader& config, double min, double max);
  /// That heads share keys evenly, and that all heads together are no wider than a model may be.
  Result<void> check(const ConfigReader& config) const;
};

/// The layer, its tensors checked; `layer` is put before all names.
Result<RecurrentSpec> make_recurrent(const ArchitectureInput& input, const RecurrentPlan& plan,
                                     const std::string& layer, std::int64_t hidden);

}  // namespace mlxd
