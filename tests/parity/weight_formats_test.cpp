// Every format of weights against what MLX makes of the same tensors (weight_formats/, README.md): the values
// exactly, products as near as the activations' precision lets them be.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "backends/cpu/dense_weights.h"
#include "backends/cpu/linear.h"
#include "model/config_reader.h"
#include "model/quantization.h"
#include "model/weight_map.h"

namespace mlxd {
namespace {

constexpr std::int32_t kRows = 17;
constexpr std::int32_t kColumns = 128;
constexpr std::int32_t kInputs = 3;

struct Format {
  std::string name;
  Quantization quantization;
};

std::vector<Format> formats() {
  std::vector<Format> all = {{"mxfp4", {QuantizationMode::kMxfp4, 4, 32}},
                             {"mxfp8", {QuantizationMode::kMxfp8, 8, 32}},
                             {"nvfp4", {QuantizationMode::kNvfp4, 4, 16}}};
  for (const std::int32_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const std::int32_t group_size : {32, 64, 128}) {
      all.push_back({"affine_" + std::to_string(bits) + "_" + std::to_string(group_size),
                     {QuantizationMode::kAffine, bits, group_size}});
    }
  }
  return all;
}

class WeightFormatsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto weights = WeightMap::open(std::string(MLXD_SOURCE_DIR) + "/tests/parity/weight_formats");
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    weights_ = weights.take_value();
  }

  std::vector<float> floats(const std::string& name) const {
    const TensorView* tensor = weights_.find(name);
    if (tensor == nullptr || tensor->dtype != DType::kF32) {
      ADD_FAILURE() << "no F32 tensor " << name;
      return {};
    }
    std::vector<float> values(tensor->data.size() / sizeof(float));
    std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
    return values;
  }

  /// The spec that the tensors alone imply.
  LinearSpec spec_of(const Format& format) const {
    const boost::json::object config;
    const auto quantization = QuantizationConfig::read(ConfigReader(config, "config.json"));
    LinearSpec spec;
    spec.name = format.name;
    spec.in_features = kColumns;
    spec.out_features = kRows;
    const Result<void> completed = quantization->complete(weights_, spec);
    EXPECT_TRUE(completed.ok()) << completed.error().message;
    return spec;
  }

  WeightMap weights_;
};

TEST_F(WeightFormatsTest, ValuesAreExactlyThoseOfMlx) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const LinearSpec spec = spec_of(format);
    ASSERT_EQ(spec.quantization, format.quantization);
    const std::vector<float> expected = floats(format.name + ".values");
    const auto reference = read_linear(spec, weights_);
    ASSERT_TRUE(reference.ok()) << reference.error().message;
    EXPECT_EQ(*reference, expected);
    const auto packed = Linear::pack({&spec, 1}, weights_, available_isas().back());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    std::vector<float> row(kColumns);
    for (std::int32_t i = 0; i < kRows; ++i) {
      packed->dequantize_row(i, row.data());
      ASSERT_EQ(row,
                std::vector<float>(expected.begin() + i * kColumns, expected.begin() + (i + 1) * kColumns));
    }
  }
}

TEST_F(WeightFormatsTest, ProductsAreThoseOfMlxWithinTheActivationsPrecision) {
  const std::vector<float> x = floats("x");
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    const LinearSpec spec = spec_of(format);
    const auto packed = Linear::pack({&spec, 1}, weights_, available_isas().back());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    Activations activations(kInputs, kColumns, available_isas().back());
    activations.reset(kInputs, kColumns, packed->activation_forms());
    activations.fill(x.data(), kColumns, 0, activations.num_groups());
    std::vector<float> y(kInputs * kRows);
    packed->apply(activations, 0, packed->num_blocks(), y.data(), kRows);
    const std::vector<float> expected = floats(format.name + ".product");
    ASSERT_EQ(expected.size(), y.size());
    const std::vector<float> values = floats(format.name + ".values");
    // By rows of the weights, which differ in size: x is of size 1, so y is of the size of its row.
    for (std::int32_t row = 0; row < kRows; ++row) {
      double size = 0;
      for (std::int32_t k = 0; k < kColumns; ++k) {
        size += std::pow(double{values[static_cast<std::size_t>(row * kColumns + k)]}, 2);
      }
      const bool exact_activations = format.quantization.mode == QuantizationMode::kMxfp8;
      const double limit = (exact_activations ? 2e-6 : 0.02) * std::sqrt(size);
      for (std::int32_t i = 0; i < kInputs; ++i) {
        const auto at = static_cast<std::size_t>(i * kRows + row);
        EXPECT_NEAR(y[at], expected[at], limit) << "row " << row << " of input " << i;
      }
    }
  }
}

}  // namespace
}  // namespace mlxd
