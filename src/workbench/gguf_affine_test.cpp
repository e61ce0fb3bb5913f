#include "workbench/gguf_affine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "model/quantize.h"

namespace mlxd {
namespace {

GgufGroup make_group(std::mt19937& random, float first_scale, float second_scale, int num_codes) {
  GgufGroup group;
  for (std::uint8_t& code : group.codes) {
    code = static_cast<std::uint8_t>(random() % static_cast<unsigned>(num_codes));
  }
  group.scales = {first_scale, second_scale};
  const auto middle = static_cast<float>(num_codes / 2);
  group.biases = {-middle * first_scale, -middle * second_scale};
  return group;
}

double squared_error(const GgufGroup& group, const AffineGroup& stored) {
  const auto values = values_of(group);
  double error = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(stored.value(i)) - static_cast<double>(values[i]), 2);
  }
  return error;
}

TEST(GgufAffine, kept_codes_have_the_files_values_up_to_the_rounding_of_scale_and_bias) {
  GgufGroup group;
  for (std::size_t i = 0; i < group.codes.size(); ++i) group.codes[i] = static_cast<std::uint8_t>(i % 16);
  group.scales = {0.1F, 0.1F};
  group.biases = {-0.7F, -0.7F};
  const AffineGroup exact = keep_codes(group, DType::kF32);
  EXPECT_EQ(exact.codes, group.codes);
  EXPECT_EQ(squared_error(group, exact), 0.0);
  const AffineGroup rounded = keep_codes(group, DType::kF16);
  EXPECT_EQ(rounded.codes, group.codes);
  EXPECT_EQ(rounded.scale, round_to(DType::kF16, 0.1F));
  EXPECT_EQ(rounded.bias, round_to(DType::kF16, -0.7F));
}

TEST(GgufAffine, two_scales_lose_no_more_than_an_even_division_of_the_range) {
  constexpr unsigned kSeed = 3;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  for (int round = 0; round < 200; ++round) {
    const float larger = 0x1p-7F;
    const float smaller = larger * static_cast<float>(1 + random() % 126) / 127.0F;
    const GgufGroup group = make_group(random, larger, smaller, 64);
    const auto values = values_of(group);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double step = (static_cast<double>(*high) - static_cast<double>(*low)) / 255.0;
    double even = 0.0;
    for (const float value : values) {
      const double steps = (static_cast<double>(value) - static_cast<double>(*low)) / step;
      even += std::pow((steps - std::round(steps)) * step, 2);
    }
    EXPECT_LE(squared_error(group, quantize_again(group, 8, DType::kF32)), even * 1.001) << round;
  }
}

TEST(GgufAffine, a_scale_of_whole_steps_of_the_other_loses_nothing) {
  std::mt19937 random(5);
  for (const float parts : {2.0F, 3.0F}) {
    // The smaller one's grid holds the larger one's values as well.
    const GgufGroup group = make_group(random, 0x1p-7F * parts, 0x1p-7F, 64);
    const auto values = values_of(group);
    const AffineGroup stored = quantize_again(group, 8, DType::kF32);
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(stored.value(i), values[i], 1e-7F) << parts;
  }
}

TEST(GgufAffine, equal_scales_lose_nothing) {
  std::mt19937 random(4);
  for (const std::int32_t bits : {6, 8}) {
    const GgufGroup group = make_group(random, 0x1p-6F, 0x1p-6F, 64);
    EXPECT_EQ(squared_error(group, quantize_again(group, bits, DType::kF16)), 0.0) << bits;
  }
}

TEST(GgufAffine, is_never_worse_than_mlxs_quantizer) {
  constexpr unsigned kSeed = 5;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  for (const std::int32_t bits : {4, 5, 6, 8}) {
    double ours = 0.0;
    double theirs = 0.0;
    for (int round = 0; round < 500; ++round) {
      const GgufGroup group = make_group(random, uniform(random), uniform(random), 64);
      ours += squared_error(group, quantize_again(group, bits, DType::kF32));
      const auto values = values_of(group);
      QuantizedRows rows;
      quantize_rows(values, {.mode = QuantizationMode::kAffine, .bits = bits, .group_size = 32}, DType::kF32,
                    rows);
      float scale = 0.0F;
      float bias = 0.0F;
      std::memcpy(&scale, rows.scales.data(), sizeof(scale));
      std::memcpy(&bias, rows.biases.data(), sizeof(bias));
      for (std::size_t i = 0; i < values.size(); ++i) {
        unsigned code = 0;
        for (std::size_t bit = 0; bit < static_cast<std::size_t>(bits); ++bit) {
          const std::size_t at = i * static_cast<std::size_t>(bits) + bit;
          code |= (rows.words[at / 32] >> (at % 32) & 1U) << bit;
        }
        const double value = static_cast<double>(static_cast<float>(code) * scale + bias);
        theirs += std::pow(value - static_cast<double>(values[i]), 2);
      }
    }
    EXPECT_LT(ours, theirs) << bits;
  }
}

TEST(GgufAffine, odd_groups_are_finite_and_near) {
  const auto check = [](std::array<float, 2> scales, std::array<float, 2> biases) {
    GgufGroup group;
    for (std::size_t i = 0; i < group.codes.size(); ++i) group.codes[i] = static_cast<std::uint8_t>(i % 4);
    group.scales = scales;
    group.biases = biases;
    for (const std::int32_t bits : {2, 5, 8}) {
      const AffineGroup stored = quantize_again(group, bits, DType::kF32);
      const auto values = values_of(group);
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      // No worse than the even division of the range, whose codes are off by half a step at most.
      const double step = static_cast<double>(*high - *low) / ((1 << bits) - 1);
      const double rounding = 1e-6 * static_cast<double>(std::max(std::abs(*low), std::abs(*high)));
      EXPECT_LE(std::sqrt(squared_error(group, stored) / 32.0), 0.5 * step + rounding)
          << bits << " " << scales[0] << " " << scales[1] << " " << biases[0];
    }
  };
  check({0, 0}, {0, 0});
  check({0, 0}, {0.3F, 0.3F});
  check({0, 0}, {-1, 2});
  check({1e-30F, 0}, {0, 1});
  check({1e6F, 1e-6F}, {-1e6F, 0});
  check({-1, 1}, {3, -3});
  check({1, 1}, {100, 101});
  check({1, 0.3F}, {-100, -200});
}

}  // namespace
}  // namespace mlxd
