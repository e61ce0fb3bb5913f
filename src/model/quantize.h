// Weights to MLX's quantized formats (model_spec.h), with the very codes and scales of mlx.core.quantize on a
// CPU; tests/parity/quantize_codes.safetensors holds it to that. Pure functions, the same bits everywhere.
//
// Values, scales and what lies between are numbers of one type T (the weights' own), each step rounded to it.
// - affine: of a group's smallest and largest value the one farther from zero, e, becomes exact where it can:
//   s = ±(largest − smallest) / (2^bits − 1), at least 1e-7, signed so that e gets the lowest code if it is
//   negative and the highest otherwise counted from it; n = e / s rounded; scale = e / n and bias = e, or s
//   and 0 if n is 0. Codes are (value − bias) / scale rounded and clamped. Scale and bias are rounded to T
//   only when stored.
// - mxfp4, mxfp8: s = largest magnitude / 6 (or 448); the scale is the smallest power of two of at least s,
//   within 2^±127, and 1 for a group of zeros. (MLX's CPU quantizer lets exponents below that wrap.)
// - nvfp4: s = largest magnitude / 6, stored as the nearest e4m3; where that is 0, so are the codes.
// - Their codes are the nearest e4m3 of value / scale (ties to even, saturating), or the nearest e2m1, of
// ties the
//   one nearer to zero, without −0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/tensor.h"

namespace mlxd {

/// Rounds to the nearest number of F16, BF16 or F32; too large becomes infinity.
float round_to(DType dtype, float value);
/// Appends numbers of F16, BF16 or F32 as they lie in files.
void append_float(DType dtype, float value, std::vector<std::byte>& bytes);
void append_floats(DType dtype, std::span<const float> values, std::vector<std::byte>& bytes);

/// Rows as they are stored, one after the other.
struct QuantizedRows {
  std::vector<std::uint32_t> words;  // NAME.weight
  std::vector<std::byte> scales;     // NAME.scales: of type T, or U8 in the floating point modes
  std::vector<std::byte> biases;     // NAME.biases: of type T; empty in the floating point modes

  void clear() {
    words.clear();
    scales.clear();
    biases.clear();
  }
};

/// How the scale and bias of an affine group are found.
enum class AffineScales {
  kMlx,           // as above
  kLeastSquares,  // those of the smallest sum of squared errors among a few dozen, MLX's among them
};

/// Appends the codes of `values`, whole groups of finite numbers of type `dtype` (F16, BF16 or F32). `scales`
/// is for affine forms; least squares takes some fifty times as long.
void quantize_rows(std::span<const float> values, const Quantization& form, DType dtype, QuantizedRows& out,
                   AffineScales scales = AffineScales::kMlx);

/// Appends codes of `bits` bits, little end first; together they must fill whole words.
void append_codes(std::span<const std::uint8_t> codes, std::int32_t bits, std::vector<std::uint32_t>& words);

/// "mxfp4", "mxfp8" and "nvfp4" say bits and group size, too; nothing for any other name.
std::optional<Quantization> small_float_form(std::string_view mode);

/// Whether MLX has this combination of mode, bits and group size.
bool is_known_form(const Quantization& form);

}  // namespace mlxd
