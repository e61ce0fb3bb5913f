#include "backends/cpu/dense_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "model/float_formats.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::int64_t kRowsAtOnce = 64;

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
  const WeightRowReader reader = TRY(WeightRowReader::open(spec, weights));
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(spec.out_features) * static_cast<std::size_t>(spec.in_features));
  for (std::int64_t row = 0; row < spec.out_features; row += kRowsAtOnce)
    TRY(reader.append_values(row, std::min(kRowsAtOnce, spec.out_features - row), values));
  for (const TensorView* tensor : reader.tensors()) weights.drop_pages(*tensor);
  return values;
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
