#include "model/foreign_forms.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/ascii.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

Result<std::int32_t> read_group_size(const ConfigReader& section) {
  const std::int64_t size = TRY(section.integer_or("group_size", 128, -1, INT32_MAX));
  return static_cast<std::int32_t>(std::max<std::int64_t>(size, 0));
}

Result<void> check_awq(const ConfigReader& section) {
  if (TRY(section.integer_or("bits", 4, 0, 64)) != 4)
    return section.refuse_unsupported("bits", "AWQ models of 4 bits are");
  const std::string version = to_lower(TRY(section.string_or("version", "gemm")));
  if (version == "gemm" || version == "exllama") return {};
  return section.refuse_unsupported("version", "AWQ models packed for gemm are");
}

Result<WeightStorage> read_gptq(const ConfigReader& section) {
  const std::int64_t bits = TRY(section.integer("bits", 1, 64));
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    return section.refuse_unsupported("bits", "GPTQ models of 2, 3, 4 and 8 bits are");
  if (TRY(section.boolean_or("desc_act", false))) {
    return section.refuse_unsupported("desc_act", "use a model whose inputs were quantized in their order");
  }
  const std::string format = TRY(section.string_or("checkpoint_format", "gptq"));
  if (format == "gptq") return WeightStorage::kGptq;
  if (format == "gptq_v2") return WeightStorage::kGptqV2;
  return section.refuse_unsupported("checkpoint_format", "gptq and gptq_v2 are");
}

Result<ScaleBlock> read_scale_block(const ConfigReader& section) {
  const auto* sizes = section.find("weight_block_size");
  if (sizes == nullptr) return ScaleBlock{};
  constexpr const char* kWanted = "a list of two sizes from 1 to 4096";
  if (!sizes->is_array() || sizes->get_array().size() != 2)
    return section.refuse("weight_block_size", kWanted);
  ScaleBlock block;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t* size = sizes->get_array()[i].if_int64();
    if (size == nullptr || *size < 1 || *size > 4096) return section.refuse("weight_block_size", kWanted);
    (i == 0 ? block.rows : block.columns) = static_cast<std::int32_t>(*size);
  }
  return block;
}

Result<void> check_compressed(const ConfigReader& section) {
  const std::string format = TRY(section.string_or("format", "dense"));
  if (format == "nvfp4-pack-quantized") {
    return section.refuse_unsupported(
        "format", "its scales of whole tensors have no counterpart; use the model's nvfp4 conversion");
  }
  constexpr std::array<std::string_view, 5> kFormats = {"dense", "pack-quantized", "float-quantized",
                                                        "naive-quantized", "mxfp4-pack-quantized"};
  if (std::find(kFormats.begin(), kFormats.end(), format) == kFormats.end())
    return section.refuse_unsupported("format",
                                      "pack-quantized, float-quantized and mxfp4-pack-quantized are");
  const auto sparsity = TRY(section.object("sparsity_config"));
  if (sparsity && TRY(sparsity->string_or("format", "dense")) != "dense")
    return sparsity->refuse_unsupported("format", "dense models are");
  const auto transform = TRY(section.object("transform_config"));
  if (transform && !transform->values().empty())
    return section.refuse_unsupported("transform_config", "models without transforms are");
  return {};
}

}  // namespace

Result<ForeignForms> ForeignForms::read(const ConfigReader& section, const std::string& method) {
  ForeignForms forms;
  if (method == "awq") {
    TRY(check_awq(section));
    forms.words_ = WeightStorage::kAwq;
    forms.bits_ = 4;
    forms.group_size_ = TRY(read_group_size(section));
  } else if (method == "gptq") {
    forms.words_ = TRY(read_gptq(section));
    forms.bits_ = static_cast<std::int32_t>(TRY(section.integer("bits", 1, 64)));
    forms.group_size_ = TRY(read_group_size(section));
  } else if (method == "fp8" || method == "fbgemm_fp8") {
    forms.scale_block_ = TRY(read_scale_block(section));
  } else if (method == "compressed-tensors") {
    TRY(check_compressed(section));
  } else {
    return section.refuse_unsupported("quant_method", "convert the model to one of MLX's quantizations");
  }
  return forms;
}

Result<void> ForeignForms::find_integers(const WeightMap& weights, const std::string& scales,
                                         LinearSpec& linear) const {
  const TensorView* tensor = TRY(weights.get(scales));
  const bool by_group = linear.storage != WeightStorage::kCompressedInt;
  const std::int64_t groups = tensor->shape.size() == 2 ? tensor->shape[by_group ? 0 : 1] : 0;
  const std::int64_t group_size = groups > 0 ? linear.in_features / groups : 0;
  if (group_size_ > 0 && group_size != group_size_) {
    return corrupt_data(weights.folder().string() + ": tensor " + tensor->name + " has groups of " +
                        std::to_string(group_size) + ", config.json says " + std::to_string(group_size_));
  }
  Quantization& form = linear.quantization;
  form.mode = QuantizationMode::kAffine;
  for (const std::int32_t size : {128, 64, 32}) {
    if (group_size % size == 0 && group_size > 0) {
      form.group_size = size;
      return {};
    }
  }
  return unsupported(weights.folder().string() + ": tensor " + tensor->name + " has groups of " +
                     std::to_string(group_size) + "; multiples of 32 are supported");
}

Result<bool> ForeignForms::find(const WeightMap& weights, LinearSpec& linear) const {
  const TensorView* weight = weights.find(linear.name + ".weight");
  const TensorView* packed = weights.find(linear.name + ".weight_packed");
  const std::int64_t in = linear.in_features;
  if (weights.find(linear.name + ".qweight") != nullptr) {
    if (words_ == WeightStorage::kMlx) {
      return corrupt_data(weights.folder().string() + ": tensor " + linear.name +
                          ".qweight: config.json does not say how it is packed (quant_method awq or gptq)");
    }
    if (std::int64_t{linear.out_features} * bits_ % 32 != 0 || in * bits_ % 32 != 0) {
      return unsupported(weights.folder().string() + ": tensor " + linear.name +
                         ".qweight: " + std::to_string(linear.out_features) + " × " + std::to_string(in) +
                         " codes of " + std::to_string(bits_) + " bits do not fill whole words");
    }
    linear.storage = words_;
    linear.quantization.bits = bits_;
    TRY(find_integers(weights, linear.name + ".scales", linear));
  } else if (packed != nullptr) {
    linear.storage = WeightStorage::kCompressedInt;
    const std::int64_t columns = packed->shape.size() == 2 ? packed->shape[1] : 0;
    for (const std::int32_t bits : {2, 4, 8}) {
      if (columns * 32 == in * bits) linear.quantization.bits = bits;
    }
    if (linear.quantization.bits == 0) {
      return unsupported(weights.folder().string() + ": tensor " + packed->name +
                         " must have codes of 2, 4 or 8 bits for " + std::to_string(in) + " inputs");
    }
    TRY(find_integers(weights, linear.name + ".weight_scale", linear));
  } else if (weight != nullptr && weight->dtype == DType::kF8E4M3) {
    linear.storage = WeightStorage::kFp8;
    linear.scale_block = scale_block_;
    if (weight->shape.size() < 2 || weight->shape.size() > 3 || weight->shape.back() != in) {
      return corrupt_data(weights.folder().string() + ": tensor " + weight->name + ": must be F8_E4M3 [" +
                          std::to_string(linear.out_features) + ", " + std::to_string(in) + "]");
    }
  } else {
    return false;
  }
  const Result<WeightRowReader> checked = WeightRowReader::open(linear, weights);
  if (!checked.ok()) {
    Error error = checked.error();
    if (error.message.starts_with("tensor "))
      error.message = weights.folder().string() + ": " + error.message;
    return error;
  }
  return true;
}

}  // namespace mlxd
