#include "model/quantization.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "model/conversion_rules.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::array<std::int32_t, 6> kBits = {2, 3, 4, 5, 6, 8};
constexpr std::array<std::int32_t, 3> kGroupSizes = {32, 64, 128};

/// The modes whose codes are small floating point numbers; each has one form.
constexpr std::array<Quantization, 3> kFloatModes = {{{QuantizationMode::kMxfp4, 4, 32},
                                                      {QuantizationMode::kMxfp8, 8, 32},
                                                      {QuantizationMode::kNvfp4, 4, 16}}};

/// Scales of the floating point modes, which MLX writes as U8.
bool is_byte(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kF8E4M3 || dtype == DType::kF8E8M0;
}

bool contains(const auto& values, std::int64_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

std::string shape_text(const TensorView& tensor) {
  std::string text = std::string(to_string(tensor.dtype)) + " [";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(tensor.shape[i]);
  }
  return text + "]";
}

Error wrong_shape(const WeightMap& weights, const TensorView& tensor, const std::string& requirement) {
  return corrupt_data(weights.folder().string() + ": tensor " + tensor.name + ": is " + shape_text(tensor) +
                      ", must be " + requirement);
}

/// Whether the last dimension is of `rows` rows, all dimensions before it together: experts may be stacked.
bool is_matrix(const TensorView& tensor, std::int64_t rows) {
  if (tensor.shape.size() < 2 || tensor.shape.size() > 3 || tensor.shape.back() <= 0) return false;
  return tensor.num_elements() / tensor.shape.back() == rows;
}

std::string describe(const Quantization& quantization) {
  const std::string text =
      std::to_string(quantization.bits) + " bits in groups of " + std::to_string(quantization.group_size);
  if (quantization.mode == QuantizationMode::kAffine) return text;
  return text + " (" + std::string(to_string(quantization.mode)) + ")";
}

Result<Quantization> read_float_mode(const ConfigReader& config, const Quantization& form) {
  const std::string mode(to_string(form.mode));
  if (TRY(config.integer_or("bits", form.bits, 0, 64)) != form.bits) {
    return config.refuse("bits", std::to_string(form.bits) + " in mode " + mode);
  }
  if (TRY(config.integer_or("group_size", form.group_size, 0, 1024)) != form.group_size) {
    return config.refuse("group_size", std::to_string(form.group_size) + " in mode " + mode);
  }
  return form;
}

Result<Quantization> read_parameters(const ConfigReader& config, std::string_view usual_mode = "affine") {
  const std::string mode = TRY(config.string_or("mode", usual_mode));
  for (const Quantization& form : kFloatModes) {
    if (mode == to_string(form.mode)) return read_float_mode(config, form);
  }
  if (mode != "affine") return config.refuse_unsupported("mode", "use affine, mxfp4, mxfp8 or nvfp4");
  Quantization quantization{QuantizationMode::kAffine, 0, 0};
  // mlx-lm's defaults.
  quantization.bits = static_cast<std::int32_t>(TRY(config.integer_or("bits", 4, 0, 64)));
  if (!contains(kBits, quantization.bits)) return config.refuse("bits", "2, 3, 4, 5, 6 or 8");
  quantization.group_size = static_cast<std::int32_t>(TRY(config.integer_or("group_size", 64, 0, 1024)));
  if (!contains(kGroupSizes, quantization.group_size)) return config.refuse("group_size", "32, 64 or 128");
  return quantization;
}

/// The floating point mode that fits weight and scales.
Result<Quantization> derive_float_mode(const WeightMap& weights, const TensorView& weight,
                                       const TensorView& scales, std::int32_t in_features,
                                       std::int32_t out_features) {
  if (!is_matrix(scales, out_features)) {
    return wrong_shape(weights, scales, "U8 [" + std::to_string(out_features) + ", groups]");
  }
  if (weight.dtype != DType::kU32 || !is_matrix(weight, out_features)) {
    return wrong_shape(weights, weight,
                       "U32 [" + std::to_string(out_features) + ", words] beside its scales");
  }
  // All of them are computed in whole groups of 32.
  for (const Quantization& form : kFloatModes) {
    if (in_features % 32 == 0 && std::int64_t{in_features} * form.bits == weight.shape.back() * 32 &&
        scales.shape.back() * form.group_size == in_features) {
      return form;
    }
  }
  return wrong_shape(weights, scales,
                     "mxfp4 (4 bits in groups of 32), mxfp8 (8 bits, 32) or nvfp4 (4 bits, 16) beside " +
                         shape_text(weight) + ", with whole groups of 32 in " + std::to_string(in_features) +
                         " inputs");
}

// Derives the parameters from the shapes of weight, scales and biases.
Result<Quantization> derive(const WeightMap& weights, const TensorView& weight, const TensorView& scales,
                            std::int32_t in_features, std::int32_t out_features) {
  const std::string name = scales.name.substr(0, scales.name.size() - std::string_view("scales").size());
  if (is_byte(scales.dtype)) return derive_float_mode(weights, weight, scales, in_features, out_features);
  if (!is_float(scales.dtype) || !is_matrix(scales, out_features)) {
    return wrong_shape(weights, scales, "F16, BF16 or F32 [" + std::to_string(out_features) + ", groups]");
  }
  const TensorView* biases = TRY(weights.get(name + "biases"));
  if (biases->dtype != scales.dtype || biases->shape != scales.shape) {
    return wrong_shape(weights, *biases, "as " + scales.name + ", " + shape_text(scales));
  }
  if (weight.dtype != DType::kU32 || !is_matrix(weight, out_features)) {
    return wrong_shape(weights, weight,
                       "U32 [" + std::to_string(out_features) + ", words] beside its scales");
  }
  const std::int64_t columns = weight.shape.back();
  const std::int64_t groups = scales.shape.back();
  Quantization result{QuantizationMode::kAffine, 0, 0};
  for (const std::int32_t bits : kBits) {
    if (std::int64_t{in_features} * bits == columns * 32) result.bits = bits;
  }
  if (result.bits == 0) {
    return wrong_shape(weights, weight,
                       "2, 3, 4, 5, 6 or 8 bits for each of " + std::to_string(in_features) + " inputs");
  }
  for (const std::int32_t size : kGroupSizes) {
    if (groups * size == in_features) result.group_size = size;
  }
  if (result.group_size == 0) {
    return wrong_shape(weights, scales,
                       "one for each 32, 64 or 128 of " + std::to_string(in_features) +
                           " inputs: no group size divides a row so");
  }
  return result;
}

}  // namespace

std::string_view to_string(QuantizationMode mode) {
  switch (mode) {
    case QuantizationMode::kNone:
      return "none";
    case QuantizationMode::kAffine:
      return "affine";
    case QuantizationMode::kMxfp4:
      return "mxfp4";
    case QuantizationMode::kMxfp8:
      return "mxfp8";
    case QuantizationMode::kNvfp4:
      return "nvfp4";
  }
  return "none";
}

Result<QuantizationConfig> QuantizationConfig::read(const ConfigReader& config,
                                                    const std::optional<Quantization>& at_load) {
  QuantizationConfig result;
  const auto text = TRY(config.object("text_config"));
  result.at_load_ = at_load;
  result.dtype_ = configured_dtype(config.values());
  result.model_type_ = TRY((text && text->has("model_type") ? *text : config).string_or("model_type", ""));
  if (at_load && !has_conversion_rules(result.model_type_)) {
    return unsupported(config.file() + ": which layers of " + result.model_type_ +
                       " models to quantize is not known; leave out --quantize");
  }
  auto section = TRY(config.object("quantization"));
  if (!section) section = TRY(config.object("quantization_config"));
  if (!section && text) section = TRY(text->object("quantization_config"));
  if (!section) return result;
  const std::string method = TRY(section->string_or("quant_method", ""));
  if (!method.empty() && method != "mxfp4" && method != "mxfp8") {
    result.foreign_ = TRY(ForeignForms::read(*section, method));
    return result;
  }
  result.default_ = TRY(read_parameters(*section, method.empty() ? "affine" : method));
  for (const auto& [key, value] : section->values()) {
    const std::string name(key);
    if (value.is_object()) {
      const auto parameters = TRY(section->object(name));
      result.entries_[name] = {Choice::kQuantized, TRY(read_parameters(*parameters))};
    } else if (value.is_bool() && name.find('.') != std::string::npos) {
      // Module paths have dots; switches of the format itself ("quantize_activations") have none.
      result.entries_[name] = {value.get_bool() ? Choice::kQuantized : Choice::kPlain, *result.default_};
    } else if (name == "quantize_activations" && value.is_bool() && value.get_bool()) {
      return section->refuse_unsupported(name, "use a model whose activations are not quantized");
    }
  }
  return result;
}

Result<void> QuantizationConfig::complete(const WeightMap& weights, LinearSpec& linear) const {
  const bool is_foreign = TRY(foreign_.find(weights, linear));
  if (!is_foreign) linear.quantization = TRY(of_module(weights, linear));
  return quantize_at_load(weights, linear);
}

Result<void> QuantizationConfig::quantize_at_load(const WeightMap& weights, LinearSpec& linear) const {
  if (!at_load_) return {};
  const std::string subject = weights.folder().string() + ": " + linear.name;
  if (linear.quantization.mode != QuantizationMode::kNone) {
    return unsupported(subject + " is quantized already, with " + describe(linear.quantization) +
                       "; leave out --quantize");
  }
  // As the converter chooses.
  if (linear.in_features % std::max(32, at_load_->group_size) != 0) return {};
  const ConversionRule rule = conversion_rule(model_type_, linear.name);
  if (rule == ConversionRule::kDense) return {};
  Quantization form = *at_load_;
  if (rule == ConversionRule::kEightBits) {
    form = {QuantizationMode::kAffine, 8, 64};
    if (linear.in_features % form.group_size != 0) {
      return unsupported(subject + " gets 8 bits in groups of 64, as in mlx-lm, but has " +
                         std::to_string(linear.in_features) + " inputs; use --quantize-group 64 or 128");
    }
  }
  const WeightRowReader dense = TRY(WeightRowReader::open(linear, weights));
  linear.quantize_from = dtype_.value_or(dense.float_type());
  linear.quantization = form;
  return {};
}

Result<Quantization> QuantizationConfig::of_module(const WeightMap& weights, const LinearSpec& linear) const {
  const std::string& name = linear.name;
  const std::int32_t in_features = linear.in_features;
  const std::int32_t out_features = linear.out_features;
  const TensorView* weight = TRY(weights.get(name + ".weight"));
  const TensorView* scales = weights.find(name + ".scales");
  const auto entry = entries_.find(name);
  if (scales == nullptr) {
    if (entry != entries_.end() && entry->second.choice == Choice::kQuantized) {
      return corrupt_data(weights.folder().string() + ": tensor " + name +
                          ".scales is missing, but config.json says that " + name + " is quantized");
    }
    if (!is_float(weight->dtype) || !is_matrix(*weight, out_features) ||
        weight->shape.back() != in_features) {
      return wrong_shape(
          weights, *weight,
          "F16, BF16 or F32 [" + std::to_string(out_features) + ", " + std::to_string(in_features) + "]");
    }
    return Quantization{};
  }
  if (entry != entries_.end() && entry->second.choice == Choice::kPlain) {
    return corrupt_data(weights.folder().string() + ": tensor " + scales->name +
                        " exists, but config.json says that " + name + " is not quantized");
  }
  const Quantization derived = TRY(derive(weights, *weight, *scales, in_features, out_features));
  const auto expected = entry != entries_.end() ? std::optional(entry->second.quantization) : default_;
  if (expected && *expected != derived) {
    return corrupt_data(weights.folder().string() + ": tensor " + weight->name + ": is stored with " +
                        describe(derived) + ", but config.json says " + describe(*expected));
  }
  return derived;
}

}  // namespace mlxd
