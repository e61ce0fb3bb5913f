// A named view of raw tensor data. Owns nothing: valid while the WeightMap (or file) it came from lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlxd {

enum class DType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kBool,
  kF64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0
};

/// Of those that weights are computed with.
inline bool is_float(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32;
}
std::size_t size_of(DType dtype);         // bytes of one element
std::string_view to_string(DType dtype);  // safetensors' spelling: "F32", "BF16", …

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte>
      data;  // size is exactly the product of shape times size_of(dtype); any alignment

  std::int64_t num_elements() const {
    std::int64_t n = 1;
    for (const std::int64_t d : shape) n *= d;
    return n;
  }
};

}  // namespace mlxd
