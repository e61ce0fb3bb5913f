#include "backends/cpu/dense_weights.h"

#include <cmath>
#include <cstring>
#include <string>

#include "model/float_formats.h"

namespace mlxd {
namespace {

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

Error not_finite(const TensorView& tensor) {
  return corrupt_data("tensor " + tensor.name + " contains NaN or infinity; get the model again");
}

/// A float tensor of exactly `count` elements, in fp32.
Result<std::vector<float>> read_floats(const std::string& name, std::size_t count, const WeightMap& weights) {
  const TensorView& tensor = *TRY(weights.get(name));
  if (static_cast<std::size_t>(tensor.num_elements()) != count) {
    return corrupt_data("tensor " + name + " has " + std::to_string(tensor.num_elements()) +
                        " elements, not " + std::to_string(count));
  }
  std::vector<float> values(count);
  const std::byte* data = tensor.data.data();
  switch (tensor.dtype) {
    case DType::kF32:
      std::memcpy(values.data(), data, count * sizeof(float));
      break;
    case DType::kF16:
      for (std::size_t i = 0; i < count; ++i) values[i] = half_to_float(load<std::uint16_t>(data + 2 * i));
      break;
    case DType::kBF16:
      for (std::size_t i = 0; i < count; ++i)
        values[i] = bfloat16_to_float(load<std::uint16_t>(data + 2 * i));
      break;
    default:
      return unsupported("tensor " + name + " is of type " + std::string(to_string(tensor.dtype)) +
                         "; expected F16, BF16 or F32");
  }
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return not_finite(tensor);
    }
  }
  weights.drop_pages(tensor);
  return values;
}

Result<const TensorView*> read_codes(const LinearSpec& spec, std::size_t num_bytes,
                                     const WeightMap& weights) {
  const TensorView* codes = TRY(weights.get(spec.name + ".weight"));
  if (codes->data.size() == num_bytes) return codes;
  return corrupt_data("tensor " + codes->name + " has " + std::to_string(codes->data.size()) +
                      " bytes, not " + std::to_string(num_bytes));
}

Result<std::vector<float>> read_affine(const LinearSpec& spec, const WeightMap& weights) {
  const auto rows = static_cast<std::size_t>(spec.out_features);
  const auto columns = static_cast<std::size_t>(spec.in_features);
  const auto bits = static_cast<std::size_t>(spec.quantization.bits);
  const auto group_size = static_cast<std::size_t>(spec.quantization.group_size);
  const std::size_t groups = columns / group_size;
  const std::vector<float> scales = TRY(read_floats(spec.name + ".scales", rows * groups, weights));
  const std::vector<float> biases = TRY(read_floats(spec.name + ".biases", rows * groups, weights));
  const std::size_t row_bytes = columns * bits / 8;
  const TensorView& codes = *TRY(read_codes(spec, rows * row_bytes, weights));
  std::vector<float> values(rows * columns);
  const std::uint32_t mask = (1U << bits) - 1U;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::byte* packed = codes.data.data() + row * row_bytes;
    for (std::size_t k = 0; k < columns; ++k) {
      // A code of up to 8 bits lies in at most two bytes.
      const std::size_t bit = k * bits;
      std::uint32_t word = std::to_integer<std::uint32_t>(packed[bit / 8]);
      if (bit / 8 + 1 < row_bytes) word |= std::to_integer<std::uint32_t>(packed[bit / 8 + 1]) << 8U;
      const std::uint32_t code = (word >> (bit % 8)) & mask;
      const std::size_t group = row * groups + k / group_size;
      values[row * columns + k] = static_cast<float>(code) * scales[group] + biases[group];
    }
  }
  weights.drop_pages(codes);
  return values;
}

/// mxfp4, mxfp8 and nvfp4.
Result<std::vector<float>> read_float_mode(const LinearSpec& spec, const WeightMap& weights) {
  const Quantization& form = spec.quantization;
  const auto count = static_cast<std::size_t>(spec.out_features) * static_cast<std::size_t>(spec.in_features);
  const auto group_size = static_cast<std::size_t>(form.group_size);
  const TensorView& codes = *TRY(read_codes(spec, count * static_cast<std::size_t>(form.bits) / 8, weights));
  const TensorView& scales = *TRY(weights.get(spec.name + ".scales"));
  if (scales.data.size() != count / group_size) {
    return corrupt_data("tensor " + scales.name + " has " + std::to_string(scales.data.size()) +
                        " bytes, not " + std::to_string(count / group_size));
  }
  std::vector<float> values(count);
  for (std::size_t first = 0; first < count; first += group_size) {  // groups never cross rows
    const auto bits = std::to_integer<std::uint8_t>(scales.data[first / group_size]);
    const float scale = form.mode == QuantizationMode::kNvfp4 ? e4m3_to_float(bits) : e8m0_to_float(bits);
    if (!std::isfinite(scale)) return not_finite(scales);
    for (std::size_t i = first; i < first + group_size; ++i) {
      if (form.bits == 8) {
        values[i] = e4m3_to_float(std::to_integer<std::uint8_t>(codes.data[i])) * scale;
      } else {
        const auto pair = std::to_integer<std::uint8_t>(codes.data[i / 2]);
        values[i] = e2m1_to_float(i % 2 == 0 ? pair & 15U : pair >> 4U) * scale;
      }
      if (!std::isfinite(values[i])) return not_finite(codes);
    }
  }
  weights.drop_pages(codes);
  weights.drop_pages(scales);
  return values;
}

}  // namespace

Result<std::vector<float>> read_norm(const NormSpec& spec, const WeightMap& weights) {
  std::vector<float> values =
      TRY(read_floats(spec.name + ".weight", static_cast<std::size_t>(spec.size), weights));
  for (float& value : values) value += spec.weight_offset;
  return values;
}

Result<std::vector<float>> read_bias(const LinearSpec& spec, const WeightMap& weights) {
  if (!spec.has_bias) return std::vector<float>{};
  return read_floats(spec.name + ".bias", static_cast<std::size_t>(spec.out_features), weights);
}

Result<std::vector<float>> read_linear(const LinearSpec& spec, const WeightMap& weights) {
  switch (spec.quantization.mode) {
    case QuantizationMode::kNone:
      return read_floats(
          spec.name + ".weight",
          static_cast<std::size_t>(spec.out_features) * static_cast<std::size_t>(spec.in_features), weights);
    case QuantizationMode::kAffine:
      return read_affine(spec, weights);
    case QuantizationMode::kMxfp4:
    case QuantizationMode::kMxfp8:
    case QuantizationMode::kNvfp4:
      return read_float_mode(spec, weights);
  }
  return unsupported("'" + spec.name + "' has an unknown quantization");
}

}  // namespace mlxd
