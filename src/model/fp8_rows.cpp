// e4m3 numbers with scales for blocks, rows or all of a matrix (DeepSeek-V3's fp8, compressed-tensors'
// float-quantized, fbgemm): dense bf16, number · scale rounded once, as mlx-lm does.
#include <algorithm>
#include <cmath>
#include <optional>

#include "model/float_formats.h"
#include "model/quantize.h"
#include "model/row_source.h"

namespace mlxd {
namespace {

/// How many of `size` elements share one of `scales` scales: one for each, one for all, or `block`; 0 if the
/// numbers do not fit.
std::int64_t shared_by(std::int64_t size, std::int64_t scales, std::int64_t block) {
  if (scales == 1) return size;
  if (scales == size) return 1;
  return block > 0 && scales == (size + block - 1) / block ? block : 0;
}

class Fp8Rows final : public RowSource {
 public:
  static Result<std::unique_ptr<RowSource>> open(const LinearSpec& linear, const WeightMap& weights) {
    auto source = std::make_unique<Fp8Rows>();
    const TensorView* weight =
        TRY(find_tensor(weights, linear.name + ".weight", linear.stored_rows() * linear.in_features));
    const TensorView* scales = TRY(weights.get(fp8_scale_name(linear.name, weights)));
    if (weight->dtype != DType::kF8E4M3) return wrong_type(*weight, "F8_E4M3");
    if (!is_float(scales->dtype)) return wrong_type(*scales, "F16, BF16 or F32");
    source->tensors_ = {weight, scales};
    source->float_type_ = DType::kBF16;
    if (!source->fit(linear, *weight, *scales)) {
      return corrupt_data("tensor " + scales->name + " must have a scale for all of " + weight->name +
                          ", for each row, or for blocks of " + std::to_string(linear.scale_block.rows) +
                          " × " + std::to_string(linear.scale_block.columns));
    }
    return std::unique_ptr<RowSource>(std::move(source));
  }

  Result<void> append(std::span<const std::int64_t> rows, WeightRows& out) const override {
    std::vector<float> values(static_cast<std::size_t>(columns_));
    for (const std::int64_t row : rows) {
      const std::byte* numbers = tensors_.front()->data.data() + row * columns_;
      const std::int64_t scale_row =
          row / matrix_rows_ * matrix_scale_rows_ + row % matrix_rows_ / block_rows_;
      for (std::int64_t first = 0; first < columns_; first += block_columns_) {
        const std::int64_t at = scale_row * scale_columns_ + first / block_columns_;
        const TensorView& scales = *tensors_[1];
        const float scale = load_float(
            scales.data.data() + static_cast<std::size_t>(at) * size_of(scales.dtype), scales.dtype);
        if (!std::isfinite(scale)) return not_finite(scales.name);
        for (std::int64_t k = first; k < std::min(columns_, first + block_columns_); ++k) {
          values[static_cast<std::size_t>(k)] =
              e4m3_to_float(std::to_integer<std::uint8_t>(numbers[k])) * scale;
        }
      }
      append_floats(DType::kBF16, values, out.weight);
    }
    return {};
  }

 private:
  /// Whether the scales' shape, [matrices,] rows, columns, or fewer dimensions, fits the weights'.
  bool fit(const LinearSpec& linear, const TensorView& weight, const TensorView& scales) {
    columns_ = linear.in_features;
    const std::int64_t matrices = weight.shape.size() == 3 ? weight.shape.front() : 1;
    if (matrices <= 0 || linear.stored_rows() % matrices != 0) return false;
    matrix_rows_ = linear.stored_rows() / matrices;
    std::vector<std::int64_t> shape = scales.shape;
    if (shape.size() == 3) {
      if (shape.front() != matrices) return false;
      shape.erase(shape.begin());
    } else if (matrices != 1) {
      return false;
    }
    if (shape.empty()) shape.push_back(1);
    if (shape.size() == 1) shape.push_back(1);
    matrix_scale_rows_ = shape[0];
    scale_columns_ = shape[1];
    block_rows_ = shared_by(matrix_rows_, shape[0], linear.scale_block.rows);
    block_columns_ = shared_by(columns_, shape[1], linear.scale_block.columns);
    return block_rows_ > 0 && block_columns_ > 0;
  }

  std::int64_t columns_ = 0;
  std::int64_t matrix_rows_ = 0;
  std::int64_t matrix_scale_rows_ = 0;
  std::int64_t scale_columns_ = 0;
  std::int64_t block_rows_ = 0;
  std::int64_t block_columns_ = 0;
};

}  // namespace

std::string fp8_scale_name(const std::string& module, const WeightMap& weights) {
  const std::string inverse = module + ".weight_scale_inv";
  return weights.find(inverse) != nullptr ? inverse : module + ".weight_scale";
}

Result<std::unique_ptr<RowSource>> open_fp8_rows(const LinearSpec& linear, const WeightMap& weights) {
  return Fp8Rows::open(linear, weights);
}

}  // namespace mlxd
