// Dense products with NEON: fp32 fused multiply-adds, the block's 16 rows as four vectors, two chains (even
// and odd k) per row, up to 2 activation rows at a time.
#include <arm_neon.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLanes = 4;
constexpr int kVectors = kBlock / kLanes;
constexpr int kRowsAtOnce = 2;

constexpr int kGroup = 32;  // features that share a scale of e4m3 numbers

template <ScalarType kType>
constexpr int kStepBytes = kBlock*(kType == ScalarType::kF32    ? 4
                                   : kType == ScalarType::kE4M3 ? 1
                                                                : 2);

template <ScalarType kType>
inline float32x4_t load_weights(const std::byte* p, int vector) {
  if constexpr (kType == ScalarType::kF32)
    return vld1q_f32(reinterpret_cast<const float*>(p) + vector * kLanes);
  const uint16x4_t bits = vld1_u16(reinterpret_cast<const std::uint16_t*>(p) + vector * kLanes);
  if constexpr (kType == ScalarType::kF16) return vcvt_f32_f16(vreinterpret_f16_u16(bits));
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

/// A block's row of values.
struct Row {
  float32x4_t part[kVectors];
};

/// 16 e4m3 numbers, 2^8 times too small: sign, exponent and mantissa go where a half has them.
inline Row load_e4m3(const std::byte* p) {
  const int8x16_t bytes = vld1q_s8(reinterpret_cast<const std::int8_t*>(p));
  const auto halves = [](int8x8_t eight) {
    const uint16x8_t words = vreinterpretq_u16_s16(vshlq_n_s16(vmovl_s8(eight), 7));
    return vreinterpretq_f16_u16(vandq_u16(words, vdupq_n_u16(0xBF80)));
  };
  const float16x8_t low = halves(vget_low_s8(bytes));
  const float16x8_t high = halves(vget_high_s8(bytes));
  return {{vcvt_f32_f16(vget_low_f16(low)), vcvt_f32_f16(vget_high_f16(low)),
           vcvt_f32_f16(vget_low_f16(high)), vcvt_f32_f16(vget_high_f16(high))}};
}

/// 16 scales of e8m0, times 2^8.
inline Row load_e8m0_scales(const std::byte* p) {
  const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(p));
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t high = vmovl_u8(vget_high_u8(bytes));
  const auto scales = [](uint16x4_t four) {
    const uint32x4_t smallest = vdupq_n_u32(0x00400000);  // 2^-127, of exponent 0
    const uint32x4_t bits = vmaxq_u32(vshlq_n_u32(vmovl_u16(four), 23), smallest);
    return vmulq_n_f32(vreinterpretq_f32_u32(bits), 256.0F);
  };
  return {{scales(vget_low_u16(low)), scales(vget_high_u16(low)), scales(vget_low_u16(high)),
           scales(vget_high_u16(high))}};
}

/// One block × kRows activation rows of a tile.
struct Job {
  const std::byte* weights;
  const float* tile;  // at the first row, k = 0
  int tile_rows;
  int num_features;
  const float* bias;
  float* y;
  std::ptrdiff_t y_stride;
  int lanes;
};

/// Adds the products of one feature to its chain. `scales`: of e4m3 numbers.
template <ScalarType kType, int kRows>
inline __attribute__((always_inline)) void add_step(const std::byte* weights, const Row& scales,
                                                    const float* x, float32x4_t (&sums)[kVectors][kRows]) {
  Row row;
  if constexpr (kType == ScalarType::kE4M3) row = load_e4m3(weights);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    float32x4_t w;
    if constexpr (kType == ScalarType::kE4M3) {
      w = vmulq_f32(row.part[v], scales.part[v]);
    } else {
      w = load_weights<kType>(weights, v);
    }
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) sums[v][r] = vfmaq_n_f32(sums[v][r], w, x[r]);
  }
}

template <ScalarType kType, int kRows>
void product(const Job& job) {
  float32x4_t even[kVectors][kRows];
  float32x4_t odd[kVectors][kRows];
  for (int v = 0; v < kVectors; ++v) {
    for (int r = 0; r < kRows; ++r) even[v][r] = odd[v][r] = vdupq_n_f32(0);
  }
  const std::byte* weights = job.weights;
  const float* x = job.tile;
  const std::byte* scales = weights + static_cast<std::ptrdiff_t>(job.num_features) * kBlock;  // of e4m3
  Row scale = {};
  for (int k = 0; k < job.num_features; k += 2) {
    if (kType == ScalarType::kE4M3 && k % kGroup == 0) {
      scale = load_e8m0_scales(scales);
      scales += kBlock;
    }
    add_step<kType, kRows>(weights, scale, x, even);
    add_step<kType, kRows>(weights + kStepBytes<kType>, scale, x + job.tile_rows, odd);
    weights += 2 * kStepBytes<kType>;
    x += 2 * job.tile_rows;
  }
  for (int r = 0; r < kRows; ++r) {
    float values[kBlock];
    for (int v = 0; v < kVectors; ++v) {
      float32x4_t sum = vaddq_f32(even[v][r], odd[v][r]);
      if (job.bias != nullptr) sum = vaddq_f32(sum, vld1q_f32(job.bias + v * kLanes));
      vst1q_f32(values + v * kLanes, sum);
    }
    for (int lane = 0; lane < job.lanes; ++lane) job.y[r * job.y_stride + lane] = values[lane];
  }
}

inline int at_most(int value, int limit) { return value < limit ? value : limit; }

template <ScalarType kType>
void run(const DenseTask& task) {
  using Product = void (*)(const Job&);
  constexpr Product kProducts[kRowsAtOnce + 1] = {nullptr, product<kType, 1>, product<kType, 2>};
  const std::ptrdiff_t values_bytes = static_cast<std::ptrdiff_t>(task.num_features) * kStepBytes<kType>;
  const std::ptrdiff_t scales_bytes = (task.num_features / kGroup * kBlock + 63) / 64 * 64;
  const std::ptrdiff_t block_bytes = values_bytes + (kType == ScalarType::kE4M3 ? scales_bytes : 0);
  Job job = {};
  job.num_features = task.num_features;
  job.y_stride = task.y_stride;
  for (int block = 0; block < task.num_blocks; ++block) {
    job.weights = task.weights + block * block_bytes;
    job.bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
    job.lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
    for (int tile_row = 0; tile_row < task.rows; tile_row += kTileRows) {
      job.tile_rows = at_most(task.rows - tile_row, kTileRows);
      for (int row = 0; row < job.tile_rows; row += kRowsAtOnce) {
        job.tile = task.tiles + static_cast<std::ptrdiff_t>(tile_row) * task.num_features + row;
        job.y = task.y + (tile_row + row) * task.y_stride + block * kBlock;
        kProducts[at_most(job.tile_rows - row, kRowsAtOnce)](job);
      }
    }
  }
}

}  // namespace

void dense_neon(const DenseTask& task) {
  switch (task.type) {
    case ScalarType::kF16:
      return run<ScalarType::kF16>(task);
    case ScalarType::kBF16:
      return run<ScalarType::kBF16>(task);
    case ScalarType::kF32:
      return run<ScalarType::kF32>(task);
    case ScalarType::kE4M3:
      return run<ScalarType::kE4M3>(task);
    case ScalarType::kE8M0:  // of scales only
      return;
  }
}

}  // namespace mlxd
