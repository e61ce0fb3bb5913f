// Affine scales of least squares; MLX's own rule is held to mlx.core.quantize in tests/parity.
#include "model/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace mlxd {
namespace {

float number_at(const std::vector<std::byte>& bytes, DType dtype, std::size_t index) {
  if (dtype == DType::kF32) {
    float value = 0.0F;
    std::memcpy(&value, bytes.data() + index * sizeof(float), sizeof(float));
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, bytes.data() + index * sizeof(half), sizeof(half));
  std::uint32_t word = std::uint32_t{half} << 16U;  // BF16
  float value = 0.0F;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

/// Of the codes' numbers over all values.
double squared_error(const std::vector<float>& values, const Quantization& form, DType dtype,
                     AffineScales scales) {
  QuantizedRows rows;
  quantize_rows(values, form, dtype, rows, scales);
  const auto bits = static_cast<std::size_t>(form.bits);
  double sum = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t bit = i * bits;
    std::uint64_t pair = rows.words[bit / 32];
    if (bit / 32 + 1 < rows.words.size()) pair |= std::uint64_t{rows.words[bit / 32 + 1]} << 32U;
    const auto code = static_cast<double>((pair >> (bit % 32)) & ((1U << bits) - 1U));
    const std::size_t group = i / static_cast<std::size_t>(form.group_size);
    const double number =
        code * double{number_at(rows.scales, dtype, group)} + double{number_at(rows.biases, dtype, group)};
    sum += (number - double{values[i]}) * (number - double{values[i]});
  }
  return sum;
}

std::vector<float> normal_values(std::size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.01F, 0.1F);
  std::vector<float> values(count);
  for (float& value : values) value = round_to(DType::kBF16, normal(random));
  return values;
}

TEST(LeastSquaresScales, AreNeverWorseAndBetterAtFewBits) {
  const std::vector<float> values = normal_values(8192);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const std::int32_t bits : {2, 3, 4, 5, 6, 8}) {
      for (const std::int32_t group : {32, 64, 128}) {
        const Quantization form{QuantizationMode::kAffine, bits, group};
        const double mlx = squared_error(values, form, dtype, AffineScales::kMlx);
        const double fitted = squared_error(values, form, dtype, AffineScales::kLeastSquares);
        EXPECT_LT(fitted, (bits <= 4 ? 0.9 : 1.0) * mlx) << bits << " bits in " << group;
      }
    }
  }
}

TEST(LeastSquaresScales, AreExactForValuesThatAreStepsApart) {
  std::mt19937 random(11);
  for (const std::int32_t bits : {4, 5, 6}) {
    std::vector<float> values;
    for (int group = 0; group < 64; ++group) {
      const float scale = std::ldexp(1.0F + static_cast<float>(random() % 128) / 128.0F, -6);
      const float bias = -scale * static_cast<float>(random() % 16);
      for (int i = 0; i < 32; ++i) values.push_back(bias + scale * static_cast<float>(random() % 16));
    }
    const Quantization form{QuantizationMode::kAffine, bits, 32};
    EXPECT_EQ(squared_error(values, form, DType::kF32, AffineScales::kLeastSquares), 0.0) << bits << " bits";
  }
}

TEST(LeastSquaresScales, TakeGroupsOfOneValueAndOfHugeOnes) {
  for (const float value : {0.0F, -0.25F, 3.0e38F, 1.0e-38F}) {
    const std::vector<float> same(32, value);
    const Quantization form{QuantizationMode::kAffine, 4, 32};
    QuantizedRows mlx;
    QuantizedRows fitted;
    quantize_rows(same, form, DType::kF32, mlx);
    quantize_rows(same, form, DType::kF32, fitted, AffineScales::kLeastSquares);
    EXPECT_EQ(mlx.words, fitted.words);
    EXPECT_EQ(mlx.scales, fitted.scales);
    EXPECT_EQ(mlx.biases, fitted.biases);
  }
  std::vector<float> huge(32, 1.0e36F);
  huge.front() = -1.0e36F;
  QuantizedRows rows;
  quantize_rows(huge, {QuantizationMode::kAffine, 4, 32}, DType::kF32, rows, AffineScales::kLeastSquares);
  EXPECT_TRUE(std::isfinite(number_at(rows.scales, DType::kF32, 0)));
}

}  // namespace
}  // namespace mlxd
