#include "model/float_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

namespace mlxd {
namespace {

TEST(FloatFormats, every_half_survives_the_way_to_float_and_back) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    EXPECT_EQ(float_to_half(value), bits);
  }
  EXPECT_TRUE(std::isnan(half_to_float(0x7E00)));
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(FloatFormats, half_rounds_to_nearest_even) {
  const auto check = [](float input, float expected) {
    EXPECT_EQ(half_to_float(float_to_half(input)), expected) << input;
  };
  check(1.0F + 0x1p-11F, 1.0F);                // half way: to even
  check(1.0F + 3 * 0x1p-11F, 1.0F + 0x1p-9F);  // half way: to even
  check(1.0F + 0x1.1p-11F, 1.0F + 0x1p-10F);
  check(65519.0F, 65504.0F);
  check(65520.0F, std::numeric_limits<float>::infinity());
  check(-1e30F, -std::numeric_limits<float>::infinity());
  check(0x1p-25F, 0.0F);  // half of the smallest: to even
  check(0x1.8p-25F, 0x1p-24F);
  check(-0.0F, -0.0F);
}

TEST(FloatFormats, bfloat16_rounds_to_nearest_even) {
  EXPECT_EQ(float_to_bfloat16(1.0F), 0x3F80);
  EXPECT_EQ(float_to_bfloat16(1.0F + 0x1p-8F), 0x3F80);
  EXPECT_EQ(float_to_bfloat16(1.0F + 3 * 0x1p-8F), 0x3F82);
  EXPECT_EQ(bfloat16_to_float(0xC000), -2.0F);
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(FloatFormats, e2m1_has_sixteen_numbers) {
  const float expected[16] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0F, -0.5, -1, -1.5, -2, -3, -4, -6};
  for (std::uint8_t code = 0; code < 16; ++code) {
    EXPECT_EQ(e2m1_to_float(code), expected[code]);
    EXPECT_EQ(std::signbit(e2m1_to_float(code)), code >= 8);
  }
}

TEST(FloatFormats, e2m1_is_the_nearest_and_of_ties_the_smaller) {
  for (std::uint8_t code = 0; code < 16; ++code)
    EXPECT_EQ(float_to_e2m1(e2m1_to_float(code)), code == 8 ? 0 : code);
  const auto check = [](float input, float expected) {
    EXPECT_EQ(e2m1_to_float(float_to_e2m1(input)), expected) << input;
    EXPECT_EQ(e2m1_to_float(float_to_e2m1(-input)), expected == 0.0F ? 0.0F : -expected) << input;
  };
  for (const auto& [input, expected] : {std::pair{0.25F, 0.0F},
                                        {0.2501F, 0.5F},
                                        {0.75F, 0.5F},
                                        {1.25F, 1.0F},
                                        {1.2501F, 1.5F},
                                        {1.75F, 1.5F},
                                        {2.5F, 2.0F},
                                        {3.5F, 3.0F},
                                        {3.6F, 4.0F},
                                        {5.0F, 4.0F},
                                        {5.1F, 6.0F},
                                        {1e30F, 6.0F}}) {
    check(input, expected);
  }
  EXPECT_EQ(float_to_e2m1(-0.1F), 0);
  EXPECT_EQ(float_to_e2m1(std::numeric_limits<float>::infinity()), 7);
}

TEST(FloatFormats, e4m3_is_the_nearest_and_of_ties_the_even) {
  float previous = 0.0F;
  for (std::uint32_t bits = 0; bits < 0x7F; ++bits) {
    const auto code = static_cast<std::uint8_t>(bits);
    const float value = e4m3_to_float(code);
    EXPECT_EQ(float_to_e4m3(value), code);
    EXPECT_EQ(float_to_e4m3(-value), code | 0x80U);
    if (bits == 0) continue;
    const float middle = (previous + value) / 2;
    EXPECT_EQ(float_to_e4m3(middle), bits % 2 == 0 ? bits : bits - 1) << middle;
    EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 0.0F)), bits - 1) << middle;
    EXPECT_EQ(float_to_e4m3(std::nextafter(middle, 1000.0F)), bits) << middle;
    previous = value;
  }
  EXPECT_EQ(float_to_e4m3(449.0F), 0x7E);
  EXPECT_EQ(float_to_e4m3(-std::numeric_limits<float>::infinity()), 0xFE);
  EXPECT_TRUE(std::isnan(e4m3_to_float(float_to_e4m3(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(FloatFormats, e4m3_is_a_sign_four_bits_of_exponent_and_three_of_mantissa) {
  for (std::uint32_t bits = 0; bits < 256; ++bits) {
    const std::uint32_t exponent = (bits >> 3U) & 15U;
    const auto mantissa = static_cast<float>(bits & 7U);
    const float magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, static_cast<int>(exponent) - 10);
    const float value = e4m3_to_float(static_cast<std::uint8_t>(bits));
    if ((bits & 0x7FU) == 0x7FU) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, bits < 128 ? magnitude : -magnitude) << bits;
    }
  }
}

TEST(FloatFormats, e8m0_is_a_power_of_two) {
  for (int bits = 0; bits < 255; ++bits) {
    EXPECT_EQ(e8m0_to_float(static_cast<std::uint8_t>(bits)), std::ldexp(1.0F, bits - 127)) << bits;
  }
  EXPECT_TRUE(std::isnan(e8m0_to_float(255)));
}

}  // namespace
}  // namespace mlxd
