#include "backends/cpu/recurrent_weights.h"

#include <algorithm>
#include <cmath>

namespace mlxd {
namespace {

float softplus(float x) { return std::max(x, 0.0F) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

Result<RecurrentWeights> RecurrentWeights::read(const RecurrentSpec& spec, const WeightMap& weights) {
  RecurrentWeights read;
  const ConvSpec& conv = spec.conv;
  const std::vector<float> taps =
      TRY(read_vector(conv.name + ".weight", conv.channels * conv.kernel, weights));
  read.conv.resize(taps.size());
  const auto channels = static_cast<std::size_t>(conv.channels);
  const auto kernel = static_cast<std::size_t>(conv.kernel);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t j = 0; j < kernel; ++j) read.conv[j * channels + c] = taps[c * kernel + j];
  }
  if (conv.has_bias) read.conv_bias = TRY(read_vector(conv.name + ".bias", conv.channels, weights));
  if (!spec.has_heads()) return read;
  read.a = TRY(read_vector(spec.a_log, spec.num_heads, weights));
  for (float& value : read.a) value = std::exp(value);
  read.dt_bias = TRY(read_vector(spec.dt_bias, spec.num_heads, weights));
  if (!spec.skip.empty()) read.skip = TRY(read_vector(spec.skip, spec.num_heads, weights));
  if (spec.norm) read.norm = TRY(read_norm(*spec.norm, weights));
  return read;
}

std::size_t RecurrentWeights::num_floats() const {
  return conv.size() + conv_bias.size() + a.size() + dt_bias.size() + skip.size() +
         (norm ? norm->weight.size() + norm->bias.size() : 0);
}

RecurrentWeights::Rates RecurrentWeights::rates(const RecurrentSpec& spec, std::int32_t head, float decay,
                                                float beta) const {
  const auto h = static_cast<std::size_t>(head);
  const float step = softplus(decay + dt_bias[h]);
  if (spec.kind == RecurrentKind::kGatedDelta) {
    return {.decay = std::exp(-a[h] * step), .factor = 1.0F / (1.0F + std::exp(-beta))};
  }
  const float clamped = std::clamp(step, spec.min_time_step, spec.max_time_step);
  return {.decay = std::exp(-a[h] * clamped), .factor = clamped};
}

}  // namespace mlxd
