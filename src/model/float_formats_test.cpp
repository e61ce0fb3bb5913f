#include "model/float_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace mlxd
