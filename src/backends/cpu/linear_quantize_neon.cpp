// int8 quantization of activations with NEON.
#include <arm_neon.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

struct Group {
  uint8x16_t low, high;  // steps 0 … 3 and 4 … 7, a dword each
  float scale;
  float scaled_sum;
  std::int32_t sums[2];  // of its halves
};

inline int8x8_t narrow(int32x4_t a, int32x4_t b) {
  return vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b)));
}

inline Group quantize_group(const float* x) {
  constexpr int kVectors = 8;
  float32x4_t values[kVectors];
  uint32x4_t largest = vdupq_n_u32(0);
  for (int i = 0; i < kVectors; ++i) {
    values[i] = vld1q_f32(x + 4 * i);
    largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(values[i]), vdupq_n_u32(0x7FFFFFFF)));
  }
  const std::uint32_t absmax_bits = vmaxvq_u32(largest);
  const float absmax = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(absmax_bits)), 0);
  Group group;
  if (absmax_bits >= 0x7F800000U || absmax < kSmallestActivation) {
    const bool finite = absmax_bits < 0x7F800000U;
    group.low = group.high = vdupq_n_u8(0);
    group.scale = group.scaled_sum = finite ? 0.0F : __builtin_nanf("");
    group.sums[0] = group.sums[1] = 0;
    return group;
  }
  const float inverse = 127.0F / absmax;
  int32x4_t q[kVectors];
  int32x4_t sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
  for (int i = 0; i < kVectors; ++i) {
    q[i] = vcvtnq_s32_f32(vmulq_n_f32(values[i], inverse));
    sums[i / 4] = vaddq_s32(sums[i / 4], q[i]);
  }
  // In each 8: 0 2 4 6, then 1 3 5 7.
  constexpr std::uint8_t kOrder[16] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
  const uint8x16_t order = vld1q_u8(kOrder);
  const int8x16_t low = vcombine_s8(narrow(q[0], q[1]), narrow(q[2], q[3]));
  const int8x16_t high = vcombine_s8(narrow(q[4], q[5]), narrow(q[6], q[7]));
  group.low = vqtbl1q_u8(vreinterpretq_u8_s8(low), order);
  group.high = vqtbl1q_u8(vreinterpretq_u8_s8(high), order);
  group.scale = absmax / 127.0F;
  group.sums[0] = vaddvq_s32(sums[0]);
  group.sums[1] = vaddvq_s32(sums[1]);
  group.scaled_sum = group.scale * static_cast<float>(group.sums[0] + group.sums[1]);
  return group;
}

inline void store_group(const Group& group, int row, int tile_rows, std::byte* record,
                        std::int32_t* offsets) {
  std::uint32_t steps[kSteps];
  vst1q_u32(steps, vreinterpretq_u32_u8(group.low));
  vst1q_u32(steps + 4, vreinterpretq_u32_u8(group.high));
  std::uint32_t* q = reinterpret_cast<std::uint32_t*>(record) + row;
  for (int step = 0; step < kSteps; ++step) q[step * tile_rows] = steps[step];
  float* scales = reinterpret_cast<float*>(record + 32 * tile_rows) + row;
  scales[0] = group.scale;
  scales[tile_rows] = group.scaled_sum;
  if (offsets == nullptr) return;
  offsets[row] = -kE2M1Offset * (group.sums[0] + group.sums[1]);
  offsets[tile_rows + row] = -kE2M1Offset * group.sums[0];
  offsets[2 * tile_rows + row] = -kE2M1Offset * group.sums[1];
}

}  // namespace

void quantize_neon(const QuantizeTask& task) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = task.rows - first < kTileRows ? task.rows - first : kTileRows;
    for (int group = task.first_group; group < task.last_group; ++group) {
      const std::ptrdiff_t cell = static_cast<std::ptrdiff_t>(first) * task.num_groups +
                                  static_cast<std::ptrdiff_t>(group) * tile_rows;
      std::int32_t* offsets = task.offsets == nullptr ? nullptr : task.offsets + 3 * cell;
      for (int row = 0; row < tile_rows; ++row) {
        store_group(quantize_group(task.x + (first + row) * task.stride + group * 32), row, tile_rows,
                    task.tiles + cell * kRecordBytesPerRow, offsets);
      }
    }
  }
}

}  // namespace mlxd
