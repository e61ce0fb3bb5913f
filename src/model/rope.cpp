#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// YaRN: dimensions that turn often keep their frequency, those that hardly turn are stretched, by a linear
/// ramp between. What it multiplies cosines and sines with is returned.
Result<double> stretch_yarn(std::vector<double>& periods, double base, const ConfigReader& scaling) {
  const double factor = TRY(scaling.number("factor", 1e-3, kMaxFactor));
  const auto original =
      static_cast<double>(TRY(scaling.integer_or("original_max_position_embeddings", 4096, 1, INT32_MAX)));
  const double fast = TRY(scaling.number_or("beta_fast", 32.0, 1e-3, 1e6));
  const double slow = TRY(scaling.number_or("beta_slow", 1.0, 1e-3, 1e6));
  const double mscale = TRY(scaling.number_or("mscale", 1.0, 0.0, 1e3));
  const double mscale_all = TRY(scaling.number_or("mscale_all_dim", 0.0, 0.0, 1e3));
  const auto dims = static_cast<double>(2 * periods.size());
  const auto dimension_of = [&](double rotations) {
    return dims * std::log(original / (rotations * 2.0 * std::numbers::pi)) / (2.0 * std::log(base));
  };
  const double low = std::max(std::floor(dimension_of(fast)), 0.0);
  double high = std::min(std::ceil(dimension_of(slow)), dims - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < periods.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    // Frequencies are mixed, not periods.
    periods[i] = 1.0 / ((1.0 - ramp) / periods[i] + ramp / (factor * periods[i]));
  }
  const auto scale_of = [&](double m) { return factor <= 1.0 ? 1.0 : 0.1 * m * std::log(factor) + 1.0; };
  return scale_of(mscale) / scale_of(mscale_all);
}

/// Microsoft's longrope: a factor for each dimension, always the long ones.
Result<double> stretch_longrope(std::vector<double>& periods, const ConfigReader& config,
                                const ConfigReader& scaling) {
  const auto* factors = scaling.find("long_factor");
  if (factors == nullptr || !factors->is_array() || factors->get_array().size() != periods.size()) {
    return scaling.refuse("long_factor", "a list of " + std::to_string(periods.size()) +
                                             " numbers, one for each pair of rotated dimensions");
  }
  for (std::size_t i = 0; i < periods.size(); ++i) {
    boost::json::error_code error;
    const auto factor = factors->get_array()[i].to_number<double>(error);
    if (error || !(factor >= 1e-3 && factor <= kMaxFactor)) {
      return scaling.refuse("long_factor", "a list of numbers from 0.001 to 1e6");
    }
    periods[i] *= factor;
  }
  const ConfigReader& source = scaling.has("original_max_position_embeddings") ? scaling : config;
  const auto original =
      static_cast<double>(TRY(source.integer_or("original_max_position_embeddings", 4096, 2, INT32_MAX)));
  const auto context =
      static_cast<double>(TRY(config.integer_or("max_position_embeddings", 131072, 1, INT32_MAX)));
  const double factor = context / original;
  return factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
}

struct RopeSources {
  double theta = 10000.0;
  std::optional<ConfigReader> scaling;
};

Result<RopeSources> find_rope(const ConfigReader& config, const RopeOptions& options) {
  RopeSources sources;
  const std::optional<ConfigReader> parameters = TRY(config.object("rope_parameters"));
  sources.scaling = TRY(config.object("rope_scaling"));
  if (!sources.scaling) sources.scaling = parameters;
  if (!options.scaled) sources.scaling.reset();
  const ConfigReader& theta_source = parameters && parameters->has("rope_theta") ? *parameters : config;
  sources.theta = options.theta
                      ? *options.theta
                      : TRY(theta_source.number_or("rope_theta", options.default_theta, 1e-3, 1e12));
  return sources;
}

std::string_view type_field(const ConfigReader& scaling) {
  return scaling.has("type") ? "type" : "rope_type";
}

bool is_yarn(std::string_view type) {
  return type == "yarn" || type == "deepseek_yarn" || type == "telechat3-yarn";
}

}  // namespace

Result<RopeSpec> read_rope(const ConfigReader& config, const RopeOptions& options) {
  const RopeSources sources = TRY(find_rope(config, options));
  const std::int32_t rotary_dim = options.rotary_dim;
  std::vector<double> periods;  // positions per radian
  for (std::int32_t i = 0; i < rotary_dim; i += 2) {
    periods.push_back(std::pow(sources.theta, static_cast<double>(i) / rotary_dim));
  }
  RopeSpec rope;
  if (const auto& scaling = sources.scaling) {
    const std::string_view key = type_field(*scaling);
    const std::string type = TRY(scaling->string_or(key, "default"));
    if (type == "linear") {
      const double factor = TRY(scaling->number("factor", 1e-3, kMaxFactor));
      for (double& period : periods) period *= factor;
    } else if (type == "llama3") {
      TRY(stretch_llama3(periods, *scaling));
    } else if (type == "dynamic") {
      // Changes frequencies only beyond max_position_embeddings, which is the longest context accepted.
      TRY(scaling->number("factor", 1e-3, kMaxFactor));
    } else if (is_yarn(type)) {
      rope.attention_factor = static_cast<float>(TRY(stretch_yarn(periods, sources.theta, *scaling)));
    } else if (type == "longrope" || type == "su") {
      rope.attention_factor = static_cast<float>(TRY(stretch_longrope(periods, config, *scaling)));
    } else if (type == "proportional") {
      // The first part of the pairs rotates as if all did, the rest stays.
      const double part = TRY(scaling->number_or("partial_rotary_factor", 1.0, 0.0, 1.0));
      const double factor = TRY(scaling->number_or("factor", 1.0, 1e-3, kMaxFactor));
      const auto rotated = static_cast<std::size_t>(rotary_dim * part) / 2;
      for (std::size_t i = 0; i < periods.size(); ++i)
        periods[i] = i < rotated ? periods[i] * factor : INFINITY;
    } else if (type != "default" && type != "mrope") {
      return scaling->refuse_unsupported(
          key, "default, linear, dynamic, llama3, yarn, longrope, proportional and mrope are");
    }
  }
  rope.rotary_dim = rotary_dim;
  rope.traditional = options.traditional;
  for (const double period : periods) {
    rope.inverse_frequencies.push_back(static_cast<float>(1.0 / period));
    if (!std::isfinite(rope.inverse_frequencies.back()))
      return config.refuse("rope_theta", "such that all frequencies are finite numbers");
  }
  if (!std::isfinite(rope.attention_factor))
    return config.refuse("rope_scaling", "such that its factor on queries and keys is a finite number");
  return rope;
}

Result<double> read_yarn_attention_factor(const ConfigReader& config) {
  const RopeSources sources = TRY(find_rope(config, {}));
  if (!sources.scaling) return 1.0;
  const std::string type = TRY(sources.scaling->string_or(type_field(*sources.scaling), "default"));
  const double mscale = TRY(sources.scaling->number_or("mscale_all_dim", 0.0, 0.0, 1e3));
  const double factor = TRY(sources.scaling->number_or("factor", 1.0, 1e-3, kMaxFactor));
  if (type == "default" || mscale == 0.0 || factor <= 1.0) return 1.0;
  const double scale = 0.1 * mscale * std::log(factor) + 1.0;
  return scale * scale;
}

}  // namespace mlxd
