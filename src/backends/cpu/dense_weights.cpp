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

/// `rows` rows of `columns` floats, those of a tensor of `stored.total` rows (or exactly `rows`) that
/// `stored` selects, in fp32.
Result<std::vector<float>> read_floats(const std::string& name, std::int64_t rows, std::int64_t columns,
                                       const StoredRows& stored, const WeightMap& weights) {
  const TensorView& tensor = *TRY(weights.get(name));
  const std::int64_t stored_rows = stored.total == 0 ? rows : stored.total;
  if (tensor.num_elements() != stored_rows * columns) {
    return corrupt_data("tensor " + name + " has " + std::to_string(tensor.num_elements()) +
                        " elements, not " + std::to_string(stored_rows * columns));
  }
  const auto width = static_cast<std::size_t>(columns);
  std::vector<float> values(static_cast<std::size_t>(rows) * width);
  for (std::int64_t row = 0; row < rows; ++row) {
    float* out = values.data() + static_cast<std::size_t>(row) * width;
    const std::byte* data =
        tensor.data.data() + static_cast<std::size_t>(stored.at(row)) * width * size_of(tensor.dtype);
    switch (tensor.dtype) {
      case DType::kF32:
        std::memcpy(out, data, width * sizeof(float));
        break;
      case DType::kF16:
        for (std::size_t i = 0; i < width; ++i) out[i] = half_to_float(load<std::uint16_t>(data + 2 * i));
        break;
      case DType::kBF16:
        for (std::size_t i = 0; i < width; ++i) out[i] = bfloat16_to_float(load<std::uint16_t>(data + 2 * i));
        break;
      default:
        return unsupported("tensor " + name + " is of type " + std::string(to_string(tensor.dtype)) +
                           "; expected F16, BF16 or F32");
    }
  }
  for (const float value : values) {
    if (!std::isfinite(value)) return not_finite(tensor);
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
  const auto read_groups = [&](const char* part) {
    return read_floats(spec.name + part, spec.out_features, static_cast<std::int64_t>(groups), spec.rows,
                       weights);
  };
  const std::vector<float> scales = TRY(read_groups(".scales"));
  const std::vector<float> biases = TRY(read_groups(".biases"));
  const std::size_t row_bytes = columns * bits / 8;
  const TensorView& codes =
      *TRY(read_codes(spec, static_cast<std::size_t>(spec.stored_rows()) * row_bytes, weights));
  std::vector<float> values(rows * columns);
  const std::uint32_t mask = (1U << bits) - 1U;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto stored = static_cast<std::size_t>(spec.rows.at(static_cast<std::int64_t>(row)));
    const std::byte* packed = codes.data.data() + stored * row_bytes;
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
  const auto columns = static_cast<std::size_t>(spec.in_features);
  const auto stored_rows = static_cast<std::size_t>(spec.stored_rows());
  const auto group_size = static_cast<std::size_t>(form.group_size);
  const std::size_t row_bytes = columns * static_cast<std::size_t>(form.bits) / 8;
  const std::size_t groups = columns / group_size;
  const TensorView& codes = *TRY(read_codes(spec, stored_rows * row_bytes, weights));
  const TensorView& scales = *TRY(weights.get(spec.name + ".scales"));
  if (scales.data.size() != stored_rows * groups) {
    return corrupt_data("tensor " + scales.name + " has " + std::to_string(scales.data.size()) +
                        " bytes, not " + std::to_string(stored_rows * groups));
  }
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(spec.out_features) * columns);
  for (std::int32_t row = 0; row < spec.out_features; ++row) {
    const auto stored = static_cast<std::size_t>(spec.rows.at(row));
    const std::byte* row_codes = codes.data.data() + stored * row_bytes;
    for (std::size_t k = 0; k < columns; ++k) {
      const auto bits = std::to_integer<std::uint8_t>(scales.data[stored * groups + k / group_size]);
      const float scale = form.mode == QuantizationMode::kNvfp4 ? e4m3_to_float(bits) : e8m0_to_float(bits);
      if (!std::isfinite(scale)) return not_finite(scales);
      const auto byte = std::to_integer<std::uint8_t>(row_codes[form.bits == 8 ? k : k / 2]);
      const float number =
          form.bits == 8 ? e4m3_to_float(byte) : e2m1_to_float(k % 2 == 0 ? byte & 15U : byte >> 4U);
      values.push_back(number * scale);
      if (!std::isfinite(values.back())) return not_finite(codes);
    }
  }
  weights.drop_pages(codes);
  weights.drop_pages(scales);
  return values;
}

}  // namespace

Result<std::vector<float>> read_vector(const std::string& name, std::int32_t size, const WeightMap& weights) {
  return read_floats(name, 1, size, {}, weights);
}

Result<DenseNorm> read_norm(const NormSpec& spec, const WeightMap& weights) {
  DenseNorm norm;
  norm.kind = spec.kind;
  norm.eps = spec.eps;
  if (spec.has_weight) {
    norm.weight = TRY(read_vector(spec.name + ".weight", spec.size, weights));
    for (float& value : norm.weight) value += spec.weight_offset;
  } else {
    norm.weight.assign(static_cast<std::size_t>(spec.size), 1.0F);
  }
  if (spec.has_bias) norm.bias = TRY(read_vector(spec.name + ".bias", spec.size, weights));
  return norm;
}

Result<std::vector<float>> read_bias(const LinearSpec& spec, const WeightMap& weights) {
  if (!spec.has_bias) return std::vector<float>{};
  return read_floats(spec.name + ".bias", spec.out_features, 1, spec.rows, weights);
}

Result<std::vector<float>> read_linear(const LinearSpec& spec, const WeightMap& weights) {
  switch (spec.quantization.mode) {
    case QuantizationMode::kNone:
      return read_floats(spec.name + ".weight", spec.out_features, spec.in_features, spec.rows, weights);
    case QuantizationMode::kAffine:
      return read_affine(spec, weights);
    case QuantizationMode::kMxfp4:
    case QuantizationMode::kMxfp8:
    case QuantizationMode::kNvfp4:
      return read_float_mode(spec, weights);
  }
  return unsupported("'" + spec.name + "' has an unknown quantization");
}

Result<std::vector<float>> read_transposed_heads(const LinearSpec& spec, std::int32_t heads,
                                                 const WeightMap& weights) {
  const std::vector<float> stored = TRY(read_linear(spec, weights));
  const auto columns = static_cast<std::size_t>(spec.in_features);
  const auto rows = static_cast<std::size_t>(spec.out_features / heads);
  std::vector<float> values(stored.size());
  for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
    const float* from = stored.data() + head * rows * columns;
    float* to = values.data() + head * rows * columns;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < columns; ++column)
        to[column * rows + row] = from[row * columns + column];
    }
  }
  return values;
}

}  // namespace mlxd
