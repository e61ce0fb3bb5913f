// What the inner loops of weight products read and write, as plain data, and these loops for each instruction
// set. Included by sources compiled for one instruction set: nothing but declarations here. Layouts:
// docs/adr/cpu-weight-layout.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlxd {

/// Element type of scales and biases, or of dense weights, as packed.
enum class ScalarType : std::uint8_t { kF16, kBF16, kF32 };

inline constexpr std::int32_t kTileRows = 8;            // activation rows that lie together
inline constexpr std::int32_t kSteps = 8;               // dwords of four int8 in an activation group of 32
inline constexpr std::int32_t kRecordBytesPerRow = 40;  // 32 int8, scale, scale × sum
inline constexpr float kSmallestActivation = 1e-30F;    // groups below are zero: 127 / absmax stays finite

/// int8 activations: tiles of kTileRows rows (the last one of what is left). In a tile of R rows, one record
/// per group: int8 [kSteps][R][4], float scale[R], float scale × sum [R]. Of each 8 features, step 2j holds
/// 0, 2, 4, 6 and step 2j + 1 holds 1, 3, 5, 7, as the nibbles of a packed word come out. 64 bytes past the
/// last tile can be read.
struct QuantizeTask {
  const float* x;
  std::ptrdiff_t stride;
  std::int32_t rows;
  std::int32_t num_groups;  // of a whole row
  std::int32_t first_group, last_group;
  std::byte* tiles;
};

/// Blocks of 16 output rows, one after another: per weight group the codes (4 bits: lane r of each 64-byte
/// line holds 8 codes of row r in k order; 8 bits: two lines, even k then odd k), then 16 scales, then 16
/// biases.
struct AffineTask {
  const std::byte* weights;
  std::int32_t num_blocks;
  std::int32_t last_block_rows;  // rows of the last block that exist
  std::int32_t code_bits;        // 4 or 8
  std::int32_t group_size;       // 32, 64 or 128
  std::int32_t num_groups;       // weight groups of a row
  ScalarType scale_type;
  const std::byte* tiles;  // int8 activations
  std::int32_t rows;
  const float* bias;  // [16 × num_blocks] or null
  float* y;           // row 0, first row of the first block
  std::ptrdiff_t y_stride;
};

/// Dense weights [block][k][16]; activations fp32 in tiles [k][R]. num_features is padded with zeros to a
/// multiple of 32.
struct DenseTask {
  const std::byte* weights;
  std::int32_t num_blocks;
  std::int32_t last_block_rows;
  std::int32_t num_features;
  ScalarType type;
  const float* tiles;
  std::int32_t rows;
  const float* bias;
  float* y;
  std::ptrdiff_t y_stride;
};

void quantize_scalar(const QuantizeTask& task);
void affine_scalar(const AffineTask& task);
void dense_scalar(const DenseTask& task);
void quantize_avx2(const QuantizeTask& task);
void affine_avx2(const AffineTask& task);
void dense_avx2(const DenseTask& task);
void quantize_avx512(const QuantizeTask& task);
void affine_avx512(const AffineTask& task);
void dense_avx512(const DenseTask& task);
void quantize_amx(const QuantizeTask& task);
void affine_amx(const AffineTask& task);
void quantize_neon(const QuantizeTask& task);
void affine_neon(const AffineTask& task);
void dense_neon(const DenseTask& task);

}  // namespace mlxd
