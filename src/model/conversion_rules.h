// What mlx-lm's converter (mlx_lm.convert) stores otherwise than asked for, by model type: its models'
// quant_predicate and cast_predicate, modules of theirs that have no quantized form, and its recipes of mixed
// widths. Pure functions; tests/parity/conversions.json holds them to mlx-lm.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/tensor.h"

namespace mlxd {

enum class ConversionRule : std::uint8_t {
  kAsAsked,
  kEightBits,  // a module: affine, 8 bits in groups of 64, whatever the rest gets
  kDense,      // a module: never quantized
  kKeepType,   // a tensor: its type is not changed
};

/// Whether this table has been held to mlx-lm for the type. A conversion of another could differ from
/// mlx-lm's without anybody noticing.
bool has_conversion_rules(std::string_view model_type);

/// Of a module (its tensors' name without ".weight") or of a tensor that belongs to none.
ConversionRule conversion_rule(std::string_view model_type, std::string_view name);

/// The type of the floats that a conversion writes, if config.json asks for one where mlx-lm looks for it.
std::optional<DType> configured_dtype(const boost::json::object& config);

/// What mlx-lm calls the module of stacked experts whose single ones checkpoints have as "….experts.N.…", and
/// the two projections in it that every expert has.
struct StackedExperts {
  std::string_view name = "switch_mlp";
  std::string_view up_proj = "up_proj";
  std::string_view down_proj = "down_proj";
};
StackedExperts stacked_experts(std::string_view model_type);

/// What mlx-lm calls a module that a checkpoint calls `name`, where only the last part differs.
std::string mlx_module_name(std::string_view model_type, const std::string& name);

/// Whether mlx-lm stores a norm's weight with the 1 that checkpoints leave out.
bool stores_whole_norms(std::string_view model_type);

/// mlx-lm's recipes: as llama.cpp's Q4_K_M does, more bits for some layers' values and down projections and
/// for the head.
struct MixedRecipe {
  std::string_view name;  // "mixed_3_6"
  std::int32_t low_bits = 0;
  std::int32_t high_bits = 0;
};
/// Absent for an unknown name.
std::optional<MixedRecipe> find_mixed_recipe(std::string_view name);
/// Bits of module `path`. `layer_part`: which dot-separated part of a path is the layer's number, from 0;
/// paths that are shorter, or have no number there, count as layer 0.
std::int32_t mixed_bits(const MixedRecipe& recipe, std::string_view path, std::int32_t layer_part,
                        std::int32_t num_layers);

}  // namespace mlxd
