// Quantized products with NEON's dot product: the block's 16 rows as four vectors of 4 lanes, up to 4
// activation rows at a time, each a lane of the vectors of activations. Vectors of 4 rows are read even where
// fewer exist: the activations' memory is padded, and what such lanes hold is not used.
#include <arm_neon.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLanes = 4;
constexpr int kVectors = kBlock / kLanes;
constexpr int kLine = 64;
constexpr int kPrefetchBytes = 4608;
constexpr int kRowsAtOnce = 4;
constexpr int kPassFeatures = 1024;  // of the input, while groups of rows take turns
constexpr int kPanelBlocks = 2;

inline float32x4_t load_scalars(const std::byte* p, ScalarType type, int lane) {
  if (type == ScalarType::kF32) return vld1q_f32(reinterpret_cast<const float*>(p) + lane);
  const uint16x4_t bits = vld1_u16(reinterpret_cast<const std::uint16_t*>(p) + lane);
  if (type == ScalarType::kF16) return vcvt_f32_f16(vreinterpret_f16_u16(bits));
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

inline int8x16_t load_activations(const int* q) { return vreinterpretq_s8_s32(vld1q_s32(q)); }

inline float32x4_t load_floats(const std::byte* p) { return vld1q_f32(reinterpret_cast<const float*>(p)); }

/// sums[r] += codes · lane r of q, for kRows rows.
template <int kRows>
inline __attribute__((always_inline)) void add_dots(int8x16_t codes, int8x16_t q, int32x4_t (&sums)[kRows]) {
  sums[0] = vdotq_laneq_s32(sums[0], codes, q, 0);
  if constexpr (kRows > 1) sums[1] = vdotq_laneq_s32(sums[1], codes, q, 1);
  if constexpr (kRows > 2) sums[2] = vdotq_laneq_s32(sums[2], codes, q, 2);
  if constexpr (kRows > 3) sums[3] = vdotq_laneq_s32(sums[3], codes, q, 3);
}

/// accumulators[r] = fma(vectors[r] or `shared`, lane r of factors, accumulators[r]).
template <int kRows>
inline __attribute__((always_inline)) void fma_lanes(const float32x4_t (&vectors)[kRows], float32x4_t factors,
                                                     float32x4_t (&accumulators)[kRows]) {
  accumulators[0] = vfmaq_laneq_f32(accumulators[0], vectors[0], factors, 0);
  if constexpr (kRows > 1) accumulators[1] = vfmaq_laneq_f32(accumulators[1], vectors[1], factors, 1);
  if constexpr (kRows > 2) accumulators[2] = vfmaq_laneq_f32(accumulators[2], vectors[2], factors, 2);
  if constexpr (kRows > 3) accumulators[3] = vfmaq_laneq_f32(accumulators[3], vectors[3], factors, 3);
}

template <int kRows>
inline __attribute__((always_inline)) void multiply_lanes(const float32x4_t (&vectors)[kRows],
                                                          float32x4_t factors,
                                                          float32x4_t (&products)[kRows]) {
  products[0] = vmulq_laneq_f32(vectors[0], factors, 0);
  if constexpr (kRows > 1) products[1] = vmulq_laneq_f32(vectors[1], factors, 1);
  if constexpr (kRows > 2) products[2] = vmulq_laneq_f32(vectors[2], factors, 2);
  if constexpr (kRows > 3) products[3] = vmulq_laneq_f32(vectors[3], factors, 3);
}

/// 128 × the sum of the activations of each row: what codes taken as signed (less 128) fall short of.
inline __attribute__((always_inline)) int32x4_t shortfall(const int* q, int tile_rows) {
  int32x4_t sums = vdupq_n_s32(0);
  const int8x16_t ones = vdupq_n_s8(1);
  for (int step = 0; step < kSteps; ++step)
    sums = vdotq_s32(sums, load_activations(q + step * tile_rows), ones);
  return vshlq_n_s32(sums, 7);
}

/// Sums over 32 features, exactly, of 4 output rows × kRows activation rows.
template <int kBits, int kRows>
inline __attribute__((always_inline)) void dot_group(const std::byte* codes, const int* q, int tile_rows,
                                                     int32x4_t shortfalls, int32x4_t (&dots)[kRows]) {
  if constexpr (kBits == 4) {
    for (int r = 0; r < kRows; ++r) dots[r] = vdupq_n_s32(0);
  } else {
    dots[0] = vdupq_laneq_s32(shortfalls, 0);
    if constexpr (kRows > 1) dots[1] = vdupq_laneq_s32(shortfalls, 1);
    if constexpr (kRows > 2) dots[2] = vdupq_laneq_s32(shortfalls, 2);
    if constexpr (kRows > 3) dots[3] = vdupq_laneq_s32(shortfalls, 3);
  }
#pragma GCC unroll 4
  for (int j = 0; j < kSteps / 2; ++j) {
    const std::uint8_t* line = reinterpret_cast<const std::uint8_t*>(codes + j * kLine * kBits / 4);
    int8x16_t even;
    int8x16_t odd;
    if constexpr (kBits == 4) {
      const uint8x16_t words = vld1q_u8(line);
      even = vreinterpretq_s8_u8(vandq_u8(words, vdupq_n_u8(15)));
      odd = vreinterpretq_s8_u8(vshrq_n_u8(words, 4));
    } else {
      even = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(line), vdupq_n_u8(128)));
      odd = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(line + kLine), vdupq_n_u8(128)));
    }
    add_dots<kRows>(even, load_activations(q + 2 * j * tile_rows), dots);
    add_dots<kRows>(odd, load_activations(q + (2 * j + 1) * tile_rows), dots);
  }
}

/// One block × up to 4 rows of a tile over consecutive weight groups.
struct Pass {
  const std::byte* weights;  // of the block, at the pass's first group
  const std::byte* tile;     // at the pass's first group
  int tile_rows;
  int first_row;  // in the tile
  int num_groups;
  ScalarType scale_type;
  bool first, last;  // y starts from 0; y is complete and takes the layer's bias
  const float* bias;
  float* y;  // first_row's
  std::ptrdiff_t y_stride;
  int lanes;  // rows of the block that exist
};

/// One weight group against one vector of the block's rows.
template <int kBits, int kParts, int kRows>
inline __attribute__((always_inline)) void add_group(const Pass& pass, const std::byte* codes,
                                                     const std::byte* tile,
                                                     const int32x4_t (&shortfalls)[kParts], float32x4_t scale,
                                                     float32x4_t bias, float32x4_t (&y)[kRows]) {
  constexpr int kPartBytes = kBlock * 32 * kBits / 8;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* scales = tile + 32 * pass.tile_rows + 4 * pass.first_row;
  const std::byte* scaled_sums = scales + 4 * pass.tile_rows;
  float32x4_t t[kRows];
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    int32x4_t dots[kRows];
    const int* q = reinterpret_cast<const int*>(tile + part * record_bytes) + pass.first_row;
    dot_group<kBits, kRows>(codes + part * kPartBytes, q, pass.tile_rows, shortfalls[part], dots);
    float32x4_t values[kRows];
    for (int r = 0; r < kRows; ++r) values[r] = vcvtq_f32_s32(dots[r]);
    const float32x4_t a = load_floats(scales + part * record_bytes);
    if (part == 0) {
      multiply_lanes<kRows>(values, a, t);
    } else {
      fma_lanes<kRows>(values, a, t);
    }
  }
  float32x4_t c = load_floats(scaled_sums);
  for (int part = 1; part < kParts; ++part) c = vaddq_f32(c, load_floats(scaled_sums + part * record_bytes));
  float32x4_t biases[kRows];
  for (int r = 0; r < kRows; ++r) {
    y[r] = vfmaq_f32(y[r], scale, t[r]);
    biases[r] = bias;
  }
  fma_lanes<kRows>(biases, c, y);
}

inline void store_lanes(float* to, float32x4_t v, int count) {
  if (count >= kLanes) {
    vst1q_f32(to, v);
    return;
  }
  float values[kLanes];
  vst1q_f32(values, v);
  for (int i = 0; i < count; ++i) to[i] = values[i];
}

inline float32x4_t load_lanes(const float* from, int count) {
  if (count >= kLanes) return vld1q_f32(from);
  float values[kLanes] = {};
  for (int i = 0; i < count; ++i) values[i] = from[i];
  return vld1q_f32(values);
}

template <int kBits, int kParts, int kRows>
void product(const Pass& pass) {
  constexpr int kCodeBytes = kBlock * 32 * kBits / 8 * kParts;
  const int scale_bytes = pass.scale_type == ScalarType::kF32 ? 64 : 32;
  const int record_bytes = kRecordBytesPerRow * pass.tile_rows;
  const std::byte* weights = pass.weights;
  const std::byte* tile = pass.tile;
  float32x4_t y[kVectors][kRows];
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kRows; ++r) {
      y[v][r] = pass.first ? vdupq_n_f32(0)
                           : load_lanes(pass.y + r * pass.y_stride + v * kLanes, pass.lanes - v * kLanes);
    }
  }
  for (int group = 0; group < pass.num_groups; ++group) {
    const std::byte* scales = weights + kCodeBytes;
    const std::byte* biases = scales + scale_bytes;
    for (int line = 0; line <= kCodeBytes; line += kLine) __builtin_prefetch(weights + kPrefetchBytes + line);
    int32x4_t shortfalls[kParts];
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
      shortfalls[part] =
          kBits == 4 ? vdupq_n_s32(0)
                     : shortfall(reinterpret_cast<const int*>(tile + part * record_bytes) + pass.first_row,
                                 pass.tile_rows);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      add_group<kBits, kParts, kRows>(pass, weights + 16 * v, tile, shortfalls,
                                      load_scalars(scales, pass.scale_type, v * kLanes),
                                      load_scalars(biases, pass.scale_type, v * kLanes), y[v]);
    }
    tile += kParts * record_bytes;
    weights = biases + scale_bytes;
  }
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kRows; ++r) {
      if (pass.last && pass.bias != nullptr) y[v][r] = vaddq_f32(y[v][r], vld1q_f32(pass.bias + v * kLanes));
      store_lanes(pass.y + r * pass.y_stride + v * kLanes, y[v][r], pass.lanes - v * kLanes);
    }
  }
}

using Product = void (*)(const Pass&);

template <int kBits, int kParts>
constexpr Product kProducts[kRowsAtOnce + 1] = {
    nullptr,
    product<kBits, kParts, 1>,
    product<kBits, kParts, 2>,
    product<kBits, kParts, 3>,
    product<kBits, kParts, 4>,
};

inline int at_most(int value, int limit) { return value < limit ? value : limit; }

template <int kBits, int kParts>
void run(const AffineTask& task) {
  Pass pass = {};
  pass.scale_type = task.scale_type;
  pass.y_stride = task.y_stride;
  const std::ptrdiff_t group_bytes =
      kBlock * 32 * kBits / 8 * kParts + (task.scale_type == ScalarType::kF32 ? 128 : 64);
  const std::ptrdiff_t block_bytes = task.num_groups * group_bytes;
  const std::ptrdiff_t group_record = kParts * kRecordBytesPerRow;  // bytes of a group and row
  const int pass_groups = task.rows <= kRowsAtOnce ? task.num_groups : kPassFeatures / task.group_size;
  const int panel = task.rows <= 2 * kTileRows ? 1 : kPanelBlocks;
  for (int first_block = 0; first_block < task.num_blocks; first_block += panel) {
    const int last_block = at_most(first_block + panel, task.num_blocks);
    for (int group = 0; group < task.num_groups; group += pass_groups) {
      pass.num_groups = at_most(task.num_groups - group, pass_groups);
      pass.first = group == 0;
      pass.last = group + pass.num_groups == task.num_groups;
      for (int row = 0; row < task.rows; row += kRowsAtOnce) {
        const int tile_row = row / kTileRows * kTileRows;
        pass.tile_rows = at_most(task.rows - tile_row, kTileRows);
        pass.first_row = row - tile_row;
        pass.tile = task.tiles + (static_cast<std::ptrdiff_t>(tile_row) * task.num_groups +
                                  static_cast<std::ptrdiff_t>(group) * pass.tile_rows) *
                                     group_record;
        const Product product =
            kProducts<kBits, kParts>[at_most(pass.tile_rows - pass.first_row, kRowsAtOnce)];
        for (int block = first_block; block < last_block; ++block) {
          pass.weights = task.weights + block * block_bytes + group * group_bytes;
          pass.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
          pass.y = task.y + row * task.y_stride + block * kBlock;
          pass.lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
          product(pass);
        }
      }
    }
  }
}

}  // namespace

void affine_neon(const AffineTask& task) {
  const bool four = task.code_bits == 4;
  switch (task.group_size) {
    case 32:
      return four ? run<4, 1>(task) : run<8, 1>(task);
    case 64:
      return four ? run<4, 2>(task) : run<8, 2>(task);
    default:
      return four ? run<4, 4>(task) : run<8, 4>(task);
  }
}

}  // namespace mlxd
