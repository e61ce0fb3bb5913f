// Where a code of a packed group lies (linear_tasks.h has the layout), for packing, unpacking and the scalar
// products: plain arithmetic over bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlxd {

/// Widths of the planes that codes of `bits` bits lie in; high is 0 if there is one.
struct CodePlanes {
  std::int32_t low;
  std::int32_t high;
};

constexpr CodePlanes code_planes(std::int32_t bits) {
  const std::int32_t low = bits >= 8 ? 8 : bits >= 4 ? 4 : 2;
  return {low, bits - low};
}

/// Bytes of the codes of 32 features of a block.
constexpr std::int32_t code_bytes(std::int32_t bits) { return 64 * bits; }

inline std::uint32_t plane_code(const std::byte* plane, std::int32_t width, std::int32_t step,
                                std::int32_t byte) {
  const std::int32_t steps_in_line = 8 / width;
  const auto value = std::to_integer<std::uint32_t>(plane[step / steps_in_line * 64 + byte]);
  return (value >> static_cast<unsigned>(step % steps_in_line * width)) & ((1U << width) - 1U);
}

/// Code of feature `k` (0 … 31) of block row `lane`; `codes` are those of 32 features.
inline std::uint32_t code_at(const std::byte* codes, std::int32_t bits, std::int32_t lane, std::int32_t k) {
  const CodePlanes planes = code_planes(bits);
  const std::int32_t step = 2 * (k / 8) + k % 2;
  const std::int32_t byte = 4 * lane + k % 8 / 2;
  std::uint32_t code = plane_code(codes, planes.low, step, byte);
  if (planes.high > 0) code |= plane_code(codes + 64 * planes.low, planes.high, step, byte) << planes.low;
  return code;
}

}  // namespace mlxd
