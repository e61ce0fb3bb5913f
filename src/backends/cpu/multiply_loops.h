// Loops that do nothing but multiply from registers, by instruction set: what machine_limits.h measures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlxd {

struct MultiplyLoop {
  void (*run)(std::int64_t iterations) = nullptr;  // null: the set has none
  double operations = 0.0;                         // an iteration does
};

struct MultiplyLoops {
  MultiplyLoop int8, bf16, fp32;
  MultiplyLoop int8_matrix, bf16_matrix;
  /// Reads `size` bytes; null: plain C++ will do.
  void (*read)(const std::byte* data, std::size_t size) = nullptr;
};

/// Each set's own; defined where the architecture has it. bf16 and the matrix loops run only where the
/// processor has these extensions and, for the latter, the process may use them.
MultiplyLoops avx2_multiply_loops();
MultiplyLoops avx512_multiply_loops();
MultiplyLoops neon_multiply_loops();

}  // namespace mlxd
