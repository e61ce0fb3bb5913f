#include "model/rope.h"

#include <cmath>
#include <numbers>
#include <optional>
#include <string>

namespace mlxd {
namespace {

constexpr double kMaxFactor = 1e6;

// Llama 3's rule: long wavelengths are stretched by `factor`, short ones kept, those between interpolated.
Result<void> stretch_llama3(std::vector<double>& periods, const ConfigReader& scaling) {
  const double factor = TRY(scaling.number("factor", 1.0, kMaxFactor));
  const double low = TRY(scaling.number_or("low_freq_factor", 1.0, 1e-3, 1e6));
  const double high = TRY(scaling.number_or("high_freq_factor", 4.0, 1e-3, 1e6));
  if (high <= low) return scaling.refuse("high_freq_factor", "larger than low_freq_factor");
  const auto original =
      static_cast<double>(TRY(scaling.integer_or("original_max_position_embeddings", 8192, 1, INT32_MAX)));
  for (double& period : periods) {
    const double wavelength = 2.0 * std::numbers::pi * period;
    if (wavelength > original / low) {
      period *= factor;
    } else if (wavelength > original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      period /= (1.0 - smooth) / factor + smooth;
    }
  }
  return {};
}

}  // namespace

Result<RopeSpec> read_rope(const ConfigReader& config, std::int32_t rotary_dim, bool traditional) {
  const std::optional<ConfigReader> parameters = TRY(config.object("rope_parameters"));
  std::optional<ConfigReader> scaling = TRY(config.object("rope_scaling"));
  if (!scaling) scaling = parameters;
  const ConfigReader& theta_source = parameters && parameters->has("rope_theta") ? *parameters : config;
  const double base = TRY(theta_source.number_or("rope_theta", 10000.0, 1e-3, 1e12));

  std::vector<double> periods;  // positions per radian
  for (std::int32_t i = 0; i < rotary_dim; i += 2) {
    periods.push_back(std::pow(base, static_cast<double>(i) / rotary_dim));
  }
  if (scaling) {
    const std::string_view key = scaling->has("type") ? "type" : "rope_type";
    const std::string type = TRY(scaling->string_or(key, "default"));
    if (type == "linear") {
      const double factor = TRY(scaling->number("factor", 1e-3, kMaxFactor));
      for (double& period : periods) period *= factor;
    } else if (type == "llama3") {
      TRY(stretch_llama3(periods, *scaling));
    } else if (type == "dynamic") {
      // Changes frequencies only beyond max_position_embeddings, which is the longest context accepted.
      TRY(scaling->number("factor", 1e-3, kMaxFactor));
    } else if (type != "default") {
      return scaling->refuse_unsupported(key, "default, linear, dynamic and llama3 are");
    }
  }
  RopeSpec rope;
  rope.rotary_dim = rotary_dim;
  rope.traditional = traditional;
  for (const double period : periods) rope.inverse_frequencies.push_back(static_cast<float>(1.0 / period));
  return rope;
}

}  // namespace mlxd
