#include "workbench/gguf_affine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/quantize.h"

namespace mlxd {
namespace {

using Values = std::array<float, kGgufGroupElements>;

constexpr float kMostSteps = 255.0F;  // that a scale is divided into

struct Fit {
  AffineGroup group;
  float error = std::numeric_limits<float>::infinity();  // sum of squares
};

// Nearest codes on the grid of this step and bias, kept if they are better than `best`.
void try_grid(const Values& values, float step, float bias, float highest_code, DType dtype, Fit& best) {
  AffineGroup group;
  group.scale = round_to(dtype, step);
  group.bias = round_to(dtype, bias);
  if (group.scale == 0.0F) return;
  float error = 0.0F;
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Adding 1.5 · 2^23 leaves no bits behind the point; codes lie far below.
    constexpr float kMagic = 12582912.0F;
    const float steps = std::min(std::max((values[i] - group.bias) / group.scale, 0.0F), highest_code);
    const float code = (steps + kMagic) - kMagic;
    group.codes[i] = static_cast<std::uint8_t>(code);
    const float difference = code * group.scale + group.bias - values[i];
    error += difference * difference;
  }
  if (error < best.error) best = {group, error};
}

}  // namespace

std::array<float, kGgufGroupElements> values_of(const GgufGroup& group) {
  Values values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(group.codes[i]) * group.scales[i / 16] + group.biases[i / 16];
  }
  return values;
}

AffineGroup keep_codes(const GgufGroup& group, DType scale_dtype) {
  return {group.codes, round_to(scale_dtype, group.scales[0]), round_to(scale_dtype, group.biases[0])};
}

AffineGroup quantize_again(const GgufGroup& group, std::int32_t bits, DType scale_dtype) {
  const Values values = values_of(group);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const float low = *least;
  const float high = *most;
  const auto half_codes = static_cast<float>(1U << static_cast<unsigned>(bits - 1));
  const float highest_code = 2.0F * half_codes - 1.0F;
  // One value: no grid.
  Fit best{{{}, 0.0F, round_to(scale_dtype, low)}};
  if (high == low) return best.group;
  for (std::size_t half = 0; half < 2; ++half) {
    const float scale = std::abs(group.scales[half]);
    if (scale == 0.0F) continue;
    const float least_step = std::max(-low / half_codes, high / (half_codes - 1.0F));
    const float centred = std::min(std::floor(scale / least_step), kMostSteps);
    if (centred >= 1.0F) {
      const float step = round_to(scale_dtype, scale / centred);
      try_grid(values, step, -half_codes * step, highest_code, scale_dtype, best);
    }
    // This half's values are its bias and whole steps: the grid's first point is one of these at or below the
    // least value.
    const float over_range = std::min(std::floor(highest_code * scale / (high - low)), kMostSteps);
    for (float parts = over_range; parts >= 1.0F && parts >= over_range - 1.0F; --parts) {
      const float step = scale / parts;
      const float first = std::floor((low - group.biases[half]) / step + 0.5F);
      const float last = std::floor((high - group.biases[half]) / step + 0.5F);
      if (last - first > highest_code) continue;
      try_grid(values, step, group.biases[half] + first * step, highest_code, scale_dtype, best);
      break;
    }
  }
  try_grid(values, (high - low) / highest_code, low, highest_code, scale_dtype, best);
  return best.group;
}

}  // namespace mlxd
