#include "model/weight_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "model/float_formats.h"
#include "model/quantize.h"
#include "model/row_source.h"

namespace mlxd {
namespace {

/// Rows that MLX wrote.
class MlxRows final : public RowSource {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    const Quantization& form = linear.quantization;
    const std::int64_t rows = linear.stored_rows();
    const std::int64_t columns = linear.in_features;
    auto source = std::make_unique<MlxRows>();
    const bool is_dense = form.mode == QuantizationMode::kNone;
    const TensorView* weight = TRY(find_tensor(weights, linear.name + ".weight",
                                               is_dense ? rows * columns : rows * columns * form.bits / 32));
    source->tensors_ = {weight};
    if (is_dense) {
      if (!is_float(weight->dtype)) return wrong_type(*weight, "F16, BF16 or F32");
      source->float_type_ = weight->dtype;
    } else {
      if (weight->dtype != DType::kU32) return wrong_type(*weight, "U32");
      const std::int64_t groups = rows * (columns / form.group_size);
      const TensorView* scales = TRY(find_tensor(weights, linear.name + ".scales", groups));
      source->tensors_.push_back(scales);
      if (form.mode == QuantizationMode::kAffine) {
        const TensorView* biases = TRY(find_tensor(weights, linear.name + ".biases", groups));
        if (!is_float(scales->dtype)) return wrong_type(*scales, "F16, BF16 or F32");
        if (!is_float(biases->dtype)) return wrong_type(*biases, "F16, BF16 or F32");
        source->float_type_ = scales->dtype;
        source->biases_type_ = biases->dtype;
        source->tensors_.push_back(biases);
      } else if (size_of(scales->dtype) != 1) {
        return wrong_type(*scales, "U8");
      }
    }
    source->num_rows_ = rows;
    return std::unique_ptr<RowSource>(std::move(source));
  }

  Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const override {
    std::vector<std::byte>* targets[] = {&out.weight, &out.scales, &out.biases};
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const std::span<const std::byte> data = tensors_[i]->data;
      const std::size_t row_bytes = data.size() / static_cast<std::size_t>(num_rows_);
      for (const std::int64_t row : rows) {
        const auto from = data.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes);
        targets[i]->insert(targets[i]->end(), from.begin(), from.end());
      }
    }
    return {};
  }

 private:
  std::int64_t num_rows_ = 0;
};

/// Dense weights [matrices, in, out of each].
class TransposedRows final : public RowSource {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    const std::int64_t rows = linear.stored_rows();
    const TensorView* weight = TRY(find_tensor(weights, linear.name + ".weight", rows * linear.in_features));
    if (!is_float(weight->dtype)) return wrong_type(*weight, "F16, BF16 or F32");
    const std::vector<std::int64_t>& shape = weight->shape;
    if (shape.size() < 2 || shape[shape.size() - 2] != linear.in_features || shape.back() <= 0 ||
        rows % shape.back() != 0) {
      return corrupt_data("tensor " + weight->name + " must have " + std::to_string(linear.in_features) +
                          " rows, one for each input");
    }
    auto source = std::make_unique<TransposedRows>();
    source->tensors_ = {weight};
    source->float_type_ = weight->dtype;
    source->columns_ = static_cast<std::size_t>(linear.in_features);
    source->matrix_rows_ = static_cast<std::size_t>(shape.back());
    return std::unique_ptr<RowSource>(std::move(source));
  }

  Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const override {
    const std::size_t width = size_of(float_type_);
    const std::size_t begin = out.weight.size();
    out.weight.resize(begin + rows.size() * columns_ * width);
    const std::byte* data = tensors_.front()->data.data();
    for (std::size_t column = 0; column < columns_; ++column) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t row = static_cast<std::size_t>(rows[i]);
        const std::size_t matrix = row / matrix_rows_;
        const std::size_t from = (matrix * columns_ + column) * matrix_rows_ + row % matrix_rows_;
        std::memcpy(out.weight.data() + begin + (i * columns_ + column) * width, data + from * width, width);
      }
    }
    return {};
  }

 private:
  std::size_t columns_ = 0;
  std::size_t matrix_rows_ = 0;
};

// No weight is so large; beyond it scales would not be finite.
constexpr float kAbsurd = 0x1p120F;

/// Rows of another source, which are dense, quantized.
class QuantizingRows final : public RowSource {
 public:
  QuantizingRows(const LinearSpec& linear, std::unique_ptr<RowSource> dense)
      : form_(linear.quantization),
        dtype_(*linear.quantize_from),
        columns_(static_cast<std::size_t>(linear.in_features)),
        dense_(std::move(dense)) {
    float_type_ = biases_type_ = dtype_;
    tensors_.assign(dense_->tensors().begin(), dense_->tensors().end());
  }

  Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const override {
    WeightRows stored;
    TRY(dense_->append(rows, stored));
    const std::size_t width = size_of(dense_->float_type());
    std::vector<float> values(rows.size() * columns_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float value = load_float(stored.weight.data() + i * width, dense_->float_type());
      values[i] = round_to(dtype_, value);
      if (!std::isfinite(value)) return not_finite(weight_name());
      if (!(std::abs(values[i]) <= kAbsurd)) {
        return corrupt_data("tensor " + weight_name() + " holds " + std::to_string(value) +
                            ", which cannot be quantized as " + std::string(to_string(dtype_)));
      }
    }
    QuantizedRows codes;
    quantize_rows(values, form_, dtype_, codes);
    const auto words = std::as_bytes(std::span(codes.words));
    out.weight.insert(out.weight.end(), words.begin(), words.end());
    out.scales.insert(out.scales.end(), codes.scales.begin(), codes.scales.end());
    out.biases.insert(out.biases.end(), codes.biases.begin(), codes.biases.end());
    return {};
  }

 private:
  const Quantization form_;
  const DType dtype_;
  const std::size_t columns_;
  const std::unique_ptr<RowSource> dense_;
};

Result<std::unique_ptr<RowSource>> open_rows(const LinearSpec& linear, const WeightMap& weights) {
  switch (linear.storage) {
    case WeightStorage::kMlx:
      return open_mlx_rows(linear, weights);
    case WeightStorage::kTransposed:
      return open_transposed_rows(linear, weights);
    case WeightStorage::kAwq:
    case WeightStorage::kGptq:
    case WeightStorage::kGptqV2:
    case WeightStorage::kCompressedInt:
      return open_packed_int_rows(linear, weights);
    case WeightStorage::kFp8:
      return open_fp8_rows(linear, weights);
  }
  return unsupported("'" + linear.name + "' is stored in an unknown way");
}

bool all_finite(const std::vector<std::byte>& floats, DType dtype) {
  const std::size_t width = size_of(dtype);
  for (std::size_t at = 0; at < floats.size(); at += width) {
    if (!std::isfinite(load_float(floats.data() + at, dtype))) return false;
  }
  return true;
}

/// Values of one row, appended.
class RowDecoder {
 public:
  RowDecoder(const LinearSpec& linear, const RowSource& source, const WeightRows& rows)
      : form_(linear.quantization),
        columns_(static_cast<std::size_t>(linear.in_features)),
        source_(source),
        rows_(rows) {}

  Result<void> append(std::size_t row, std::vector<float>& out) const {
    switch (form_.mode) {
      case QuantizationMode::kNone:
        append_dense(row, out);
        return {};
      case QuantizationMode::kAffine:
        append_affine(row, out);
        return {};
      case QuantizationMode::kMxfp4:
      case QuantizationMode::kMxfp8:
      case QuantizationMode::kNvfp4:
        break;
    }
    return append_small_floats(row, out);
  }

 private:
  void append_dense(std::size_t row, std::vector<float>& out) const {
    const DType dtype = source_.float_type();
    const std::byte* from = rows_.weight.data() + row * columns_ * size_of(dtype);
    for (std::size_t k = 0; k < columns_; ++k) out.push_back(load_float(from + k * size_of(dtype), dtype));
  }

  void append_affine(std::size_t row, std::vector<float>& out) const {
    const auto bits = static_cast<std::size_t>(form_.bits);
    const auto group_size = static_cast<std::size_t>(form_.group_size);
    const std::size_t groups = columns_ / group_size;
    const std::size_t row_bytes = columns_ * bits / 8;
    const std::byte* codes = rows_.weight.data() + row * row_bytes;
    const std::size_t scale_bytes = size_of(source_.float_type());
    const std::size_t bias_bytes = size_of(source_.biases_type());
    const std::uint32_t mask = (1U << bits) - 1U;
    for (std::size_t group = 0; group < groups; ++group) {
      const std::size_t at = row * groups + group;
      const float scale = load_float(rows_.scales.data() + at * scale_bytes, source_.float_type());
      const float bias = load_float(rows_.biases.data() + at * bias_bytes, source_.biases_type());
      for (std::size_t k = group * group_size; k < (group + 1) * group_size; ++k) {
        // A code of up to 8 bits lies in at most two bytes.
        const std::size_t bit = k * bits;
        std::uint32_t word = std::to_integer<std::uint32_t>(codes[bit / 8]);
        if (bit / 8 + 1 < row_bytes) word |= std::to_integer<std::uint32_t>(codes[bit / 8 + 1]) << 8U;
        const std::uint32_t code = (word >> (bit % 8)) & mask;
        out.push_back(static_cast<float>(code) * scale + bias);
      }
    }
  }

  Result<void> append_small_floats(std::size_t row, std::vector<float>& out) const {
    const auto group_size = static_cast<std::size_t>(form_.group_size);
    const std::byte* codes = rows_.weight.data() + row * columns_ * static_cast<std::size_t>(form_.bits) / 8;
    const std::byte* scales = rows_.scales.data() + row * (columns_ / group_size);
    for (std::size_t k = 0; k < columns_; ++k) {
      const auto bits = std::to_integer<std::uint8_t>(scales[k / group_size]);
      const float scale = form_.mode == QuantizationMode::kNvfp4 ? e4m3_to_float(bits) : e8m0_to_float(bits);
      if (!std::isfinite(scale)) return not_finite(source_.scales_name());
      const auto byte = std::to_integer<std::uint8_t>(codes[form_.bits == 8 ? k : k / 2]);
      const float number =
          form_.bits == 8 ? e4m3_to_float(byte) : e2m1_to_float(k % 2 == 0 ? byte & 15U : byte >> 4U);
      out.push_back(number * scale);
      if (!std::isfinite(out.back())) return not_finite(source_.weight_name());
    }
    return {};
  }

  const Quantization form_;
  const std::size_t columns_;
  const RowSource& source_;
  const WeightRows& rows_;
};

}  // namespace

Result<const TensorView*> find_tensor(const WeightMap& weights, const std::string& name,
                                      std::int64_t elements) {
  const TensorView* tensor = TRY(weights.get(name));
  if (tensor->num_elements() == elements) return tensor;
  return corrupt_data("tensor " + tensor->name + " has " + std::to_string(tensor->num_elements()) +
                      " elements, not " + std::to_string(elements));
}

Error wrong_type(const TensorView& tensor, std::string_view wanted) {
  return corrupt_data("tensor " + tensor.name + " is " + std::string(to_string(tensor.dtype)) +
                      ", expected " + std::string(wanted));
}

Error not_finite(const std::string& tensor_name) {
  return corrupt_data("tensor " + tensor_name + " contains NaN or infinity; get the model again");
}

float load_float(const std::byte* from, DType dtype) {
  if (dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, from, sizeof(half));
  return dtype == DType::kF16 ? half_to_float(half) : bfloat16_to_float(half);
}

Result<std::unique_ptr<RowSource>> open_mlx_rows(const LinearSpec& linear, const WeightMap& weights) {
  return MlxRows::open(linear, weights);
}

Result<std::unique_ptr<RowSource>> open_transposed_rows(const LinearSpec& linear, const WeightMap& weights) {
  return TransposedRows::open(linear, weights);
}

std::vector<std::string> weight_tensor_names(const LinearSpec& linear) {
  std::vector<std::string> names;
  const auto add = [&](std::initializer_list<const char*> parts) {
    for (const char* part : parts) names.push_back(linear.name + part);
  };
  switch (linear.storage) {
    case WeightStorage::kMlx:
      add({".weight"});
      if (!linear.is_quantized_in_file()) break;
      add({".scales"});
      if (linear.quantization.mode == QuantizationMode::kAffine) add({".biases"});
      break;
    case WeightStorage::kTransposed:
      add({".weight"});
      break;
    case WeightStorage::kAwq:
    case WeightStorage::kGptq:
    case WeightStorage::kGptqV2:
      add({".qweight", ".qzeros", ".scales", ".g_idx"});
      break;
    case WeightStorage::kCompressedInt:
      add({".weight_packed", ".weight_scale", ".weight_shape", ".weight_zero_point"});
      break;
    case WeightStorage::kFp8:
      add({".weight", ".weight_scale", ".weight_scale_inv"});
      break;
  }
  return names;
}

bool has_module(const WeightMap& weights, const std::string& name) {
  return weights.find(name + ".weight") != nullptr || weights.find(name + ".qweight") != nullptr ||
         weights.find(name + ".weight_packed") != nullptr;
}

Result<WeightRowReader> WeightRowReader::open(const LinearSpec& linear, const WeightMap& weights) {
  WeightRowReader reader;
  reader.linear_ = linear;
  if (!linear.quantize_from) {
    reader.source_ = TRY(open_rows(linear, weights));
    return reader;
  }
  LinearSpec dense = linear;
  dense.quantization = {};
  reader.source_ = std::make_shared<QuantizingRows>(linear, TRY(open_rows(dense, weights)));
  return reader;
}

DType WeightRowReader::float_type() const { return source_->float_type(); }
std::span<const TensorView* const> WeightRowReader::tensors() const { return source_->tensors(); }

Result<void> WeightRowReader::read(std::int64_t first, std::int64_t count, WeightRows& out) const {
  CHECK(first >= 0 && count >= 0 && first + count <= linear_.out_features);
  out.clear();
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(count));
  for (std::int64_t row = first; row < first + count; ++row) rows.push_back(linear_.rows.at(row));
  TRY(source_->append(rows, out));
  const QuantizationMode mode = linear_.quantization.mode;
  if (mode == QuantizationMode::kNone && !all_finite(out.weight, source_->float_type()))
    return not_finite(source_->weight_name());
  if (mode == QuantizationMode::kAffine) {
    if (!all_finite(out.scales, source_->float_type())) return not_finite(source_->scales_name());
    if (!all_finite(out.biases, source_->biases_type())) return not_finite(source_->tensors().back()->name);
  }
  return {};
}

Result<void> WeightRowReader::append_values(std::int64_t first, std::int64_t count,
                                            std::vector<float>& out) const {
  WeightRows rows;
  TRY(read(first, count, rows));
  const RowDecoder decoder(linear_, *source_, rows);
  out.reserve(out.size() + static_cast<std::size_t>(count * linear_.in_features));
  for (std::size_t row = 0; row < static_cast<std::size_t>(count); ++row) TRY(decoder.append(row, out));
  return {};
}

}  // namespace mlxd
