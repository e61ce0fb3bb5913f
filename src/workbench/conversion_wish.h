// What a conversion is to make, as people say it on a command line or in a request, and what that means. A
// value and a function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "workbench/convert_model.h"

namespace mlxd {

struct ConversionWish {
  std::optional<std::int32_t> bits{};   // 2, 3, 4, 5, 6 or 8
  std::optional<std::int32_t> group{};  // 32, 64 or 128
  std::string mode = "affine";          // affine, mxfp4, mxfp8, nvfp4
  std::string mixed{};                  // mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6; empty: none
  bool dequantize = false;
  std::string dtype{};   // float16, bfloat16, float32; empty: the source's
  std::string scales{};  // mlx, least-squares; empty: mlx
  /// What stands before the names above in messages: "--" on a command line.
  std::string name_prefix{};
};

/// Form, recipe, dtype and scales. Errors: kInvalidArgument naming what does not go, or not together.
Result<ConvertOptions> read_conversion(const ConversionWish& wish);

}  // namespace mlxd
