// Groups of GGUF values in MLX's affine form, code · scale + bias with one scale and bias for 32 values. Pure
// functions.
//
// Where GGUF's group is 32 long the codes stay; scale and bias are rounded to the type that stores them.
// Where it is 16 long (Q2_K, Q3_K, Q6_K) two groups share one scale and are quantized anew, on the best of
// five grids: for each half a grid of which its own scale is a whole multiple, so that this half stays exact,
// once with a code for zero in the middle and once over the values' range; and the even division of the
// range.
#pragma once

#include <array>
#include <cstdint>

#include "model/tensor.h"
#include "workbench/gguf_blocks.h"

namespace mlxd {

struct AffineGroup {
  std::array<std::uint8_t, kGgufGroupElements> codes{};
  /// Numbers of the type that stores them.
  float scale = 0.0F;
  float bias = 0.0F;

  float value(std::size_t i) const { return static_cast<float>(codes[i]) * scale + bias; }
};

/// The values of a group in single precision, each rounded once.
std::array<float, kGgufGroupElements> values_of(const GgufGroup& group);

/// For types whose halves share scale and bias.
AffineGroup keep_codes(const GgufGroup& group, DType scale_dtype);

/// With codes of `bits` bits (2 … 8), nearest in the sense of squared error among the grids above. For finite
/// scales and biases; a group whose scale does not fit `scale_dtype` gets an infinite one.
AffineGroup quantize_again(const GgufGroup& group, std::int32_t bits, DType scale_dtype);

}  // namespace mlxd
