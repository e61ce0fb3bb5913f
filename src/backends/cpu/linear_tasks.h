// What the inner loops of weight products read and write, as plain data, and these loops for each instruction
// set. Included by sources compiled for one instruction set: nothing but declarations here. Layouts:
// docs/adr/cpu-weight-layout.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlxd {

/// Element type of scales and biases, or of dense weights, as packed. e4m3 and e8m0 are bytes (OCP
/// Microscaling Formats 1.0).
enum class ScalarType : std::uint8_t { kF16, kBF16, kF32, kE4M3, kE8M0 };

inline constexpr std::int32_t kTileRows = 8;            // activation rows that lie together
inline constexpr std::int32_t kSteps = 8;               // dwords of four int8 in an activation group of 32
inline constexpr std::int32_t kRecordBytesPerRow = 40;  // 32 int8, scale, scale × sum
inline constexpr float kSmallestActivation = 1e-30F;    // groups below are zero: 127 / absmax stays finite
inline constexpr std::int32_t kE2M1Offset = 12;         // e2m1 numbers, twice, plus this: 0 … 24

/// int8 activations: tiles of kTileRows rows (the last one of what is left). In a tile of R rows, one record
/// per group: int8 [kSteps][R][4], float scale[R], float scale × sum [R]. Of each 8 features, step 2j holds
/// 0, 2, 4, 6 and step 2j + 1 holds 1, 3, 5, 7, as the nibbles of a packed word come out. 64 bytes past the
/// last tile can be read. If asked for, the offsets of a tile: per group int32 [3][R], −kE2M1Offset × the sum
/// of the group's int8, of its first and of its second 16.
///
/// 16-bit activations are two records a group, the high byte's and the low byte's: x ≈ scale × (256 × high +
/// low), so the high record's scale is 256 × the low one's.
struct QuantizeTask {
  const float* x;
  std::ptrdiff_t stride;
  std::int32_t rows;
  std::int32_t num_groups;  // of a whole row
  std::int32_t first_group, last_group;
  std::byte* tiles;
  std::int32_t* offsets;  // or null
};

/// Weights of integer codes in blocks of 16 output rows, one after another. Each 32 features' codes lie in
/// planes of 8, 4, 2 or 1 bits, the low bits' plane first (3 = 2 + 1, 5 = 4 + 1, 6 = 4 + 2): a plane of W
/// bits is W lines of 64 bytes, byte 4r + i of a line holds element i of row r of 8 / W steps, lowest bits
/// first.
/// - affine: per weight group the codes, then 16 scales, then 16 biases.
/// - e2m1 (mxfp4, nvfp4): all codes of the block, then per weight group 16 scales of one byte, padded to
///   whole lines. The product's integers are the numbers taken twice, and the scales count half.
struct AffineTask {
  const std::byte* weights;
  std::int32_t num_blocks;
  std::int32_t last_block_rows;  // rows of the last block that exist
  bool e2m1;
  std::int32_t code_bits;   // 2, 3, 4, 5, 6 or 8; e2m1: 4
  std::int32_t group_size;  // 32, 64 or 128; e2m1: 16 or 32
  std::int32_t num_groups;  // weight groups of a row
  ScalarType scale_type;
  std::int32_t planes;          // records of an activation group: 1, or 2 for 16-bit activations
  const std::byte* tiles;       // int8 activations
  const std::int32_t* offsets;  // for e2m1; null if the activations have none
  std::int32_t rows;
  const float* bias;  // [16 × num_blocks] or null
  float* y;           // row 0, first row of the first block
  std::ptrdiff_t y_stride;
};

/// Dense weights [block][k][16]; activations fp32 in tiles [k][R]. num_features is padded with zeros to a
/// multiple of 32. kE4M3: a block's numbers are followed by [num_features / 32][16] scales of type e8m0,
/// padded to whole lines of 64 bytes; no scale is above kLargestE4M3Scale.
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

/// 2^119: no e4m3 number times this is beyond fp32.
inline constexpr std::int32_t kLargestE4M3Scale = 246;

/// Quantizes to two records a group, for every instruction set.
void quantize_planes(const QuantizeTask& task);
void quantize_scalar(const QuantizeTask& task);
void affine_scalar(const AffineTask& task);
void dense_scalar(const DenseTask& task);
void quantize_avx2(const QuantizeTask& task);
void affine_avx2(const AffineTask& task);
void dense_avx2(const DenseTask& task);
void affine_avxvnni(const AffineTask& task);
void quantize_avx512(const QuantizeTask& task);
void affine_avx512(const AffineTask& task);
void dense_avx512(const DenseTask& task);
void quantize_amx(const QuantizeTask& task);
void affine_amx(const AffineTask& task);
void quantize_neon(const QuantizeTask& task);
void affine_neon(const AffineTask& task);
void affine_i8mm(const AffineTask& task);
void dense_neon(const DenseTask& task);

}  // namespace mlxd
