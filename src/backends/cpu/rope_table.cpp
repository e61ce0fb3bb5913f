#include "backends/cpu/rope_table.h"

#include <cmath>
#include <cstddef>

namespace mlxd {
namespace {

constexpr std::int32_t kFinePositions = 256;

std::vector<std::complex<double>> unit_numbers(const RopeSpec& spec, std::int32_t count, double step) {
  std::vector<std::complex<double>> table;
  table.reserve(static_cast<std::size_t>(count) * spec.inverse_frequencies.size());
  for (std::int32_t i = 0; i < count; ++i) {
    for (const float frequency : spec.inverse_frequencies) {
      table.push_back(std::polar(1.0, i * step * static_cast<double>(frequency)));
    }
  }
  return table;
}

}  // namespace

RopeTable::RopeTable(const RopeSpec& spec, std::int32_t num_positions)
    : num_pairs_(static_cast<std::int32_t>(spec.inverse_frequencies.size())),
      traditional_(spec.traditional),
      factor_(static_cast<double>(spec.attention_factor)),
      coarse_(unit_numbers(spec, num_positions / kFinePositions + 1, kFinePositions)),
      fine_(unit_numbers(spec, kFinePositions, 1.0)) {}

void RopeTable::fill(std::int32_t position, float* cosines, float* sines) const {
  const auto pairs = static_cast<std::size_t>(num_pairs_);
  const std::complex<double>* coarse = &coarse_[static_cast<std::size_t>(position / kFinePositions) * pairs];
  const std::complex<double>* fine = &fine_[static_cast<std::size_t>(position % kFinePositions) * pairs];
  for (std::size_t i = 0; i < pairs; ++i) {
    // Written out: the product operator checks for infinities.
    const double real = coarse[i].real() * fine[i].real() - coarse[i].imag() * fine[i].imag();
    const double imaginary = coarse[i].real() * fine[i].imag() + coarse[i].imag() * fine[i].real();
    cosines[i] = static_cast<float>(real * factor_);
    sines[i] = static_cast<float>(imaginary * factor_);
  }
}

float position_factor(const PositionScaling& scaling, std::int32_t position) {
  const double turns = std::floor(static_cast<double>(position) / scaling.original_tokens);
  return static_cast<float>(1.0 + static_cast<double>(scaling.beta) * std::log(1.0 + turns));
}

}  // namespace mlxd
