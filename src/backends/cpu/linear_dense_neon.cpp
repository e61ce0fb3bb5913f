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

template <ScalarType kType>
constexpr int kStepBytes = kBlock*(kType == ScalarType::kF32 ? 4 : 2);

template <ScalarType kType>
inline float32x4_t load_weights(const std::byte* p, int vector) {
  if constexpr (kType == ScalarType::kF32)
    return vld1q_f32(reinterpret_cast<const float*>(p) + vector * kLanes);
  const uint16x4_t bits = vld1_u16(reinterpret_cast<const std::uint16_t*>(p) + vector * kLanes);
  if constexpr (kType == ScalarType::kF16) return vcvt_f32_f16(vreinterpret_f16_u16(bits));
  return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
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

template <ScalarType kType, int kRows>
inline __attribute__((always_inline)) void add_step(const std::byte* weights, const float* x,
                                                    float32x4_t (&sums)[kVectors][kRows]) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const float32x4_t w = load_weights<kType>(weights, v);
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
  for (int k = 0; k < job.num_features; k += 2) {
    add_step<kType, kRows>(weights, x, even);
    add_step<kType, kRows>(weights + kStepBytes<kType>, x + job.tile_rows, odd);
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
  const std::ptrdiff_t block_bytes = static_cast<std::ptrdiff_t>(task.num_features) * kStepBytes<kType>;
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
  }
}

}  // namespace mlxd
