// int8 quantization of activations with AVX2.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

struct Group {
  __m256i steps;  // a dword each
  float scale;
  float scaled_sum;
  int sums[2];  // of its halves
};

inline unsigned largest_lane(__m256i v) {
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
  return static_cast<unsigned>(_mm_cvtsi128_si32(m));
}

inline int sum_of_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm_cvtsi128_si32(s);
}

inline __attribute__((always_inline)) Group quantize_group(const float* x) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256 values[4];
  __m256i largest = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    values[i] = _mm256_loadu_ps(x + 8 * i);
    largest = _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(values[i]), magnitude));
  }
  const unsigned absmax_bits = largest_lane(largest);
  const float absmax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(absmax_bits))));
  Group group;
  if (absmax_bits >= 0x7F800000U || absmax < kSmallestActivation) {
    const bool finite = absmax_bits < 0x7F800000U;
    group.steps = _mm256_setzero_si256();
    group.scale = group.scaled_sum = finite ? 0.0F : __builtin_nanf("");
    group.sums[0] = group.sums[1] = 0;
    return group;
  }
  const __m256 inverse = _mm256_set1_ps(127.0F / absmax);
  __m256i q[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse));
  group.sums[0] = sum_of_lanes(_mm256_add_epi32(q[0], q[1]));
  group.sums[1] = sum_of_lanes(_mm256_add_epi32(q[2], q[3]));
  // Packing interleaves the halves; back to k order, then in each 8: 0 2 4 6, 1 3 5 7.
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i ordered = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  const __m256i parity = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, 0, 2, 4, 6, 1,
                                          3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  group.steps = _mm256_shuffle_epi8(ordered, parity);
  group.scale = absmax / 127.0F;
  group.scaled_sum = group.scale * static_cast<float>(group.sums[0] + group.sums[1]);
  return group;
}

inline __attribute__((always_inline)) void store_group(const Group& group, int row, int tile_rows,
                                                       std::byte* record, std::int32_t* offsets) {
  int* q = reinterpret_cast<int*>(record) + row;
  alignas(32) int steps[kSteps];
  _mm256_store_si256(reinterpret_cast<__m256i*>(steps), group.steps);
#pragma GCC unroll 8
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

void quantize_avx2(const QuantizeTask& task) {
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
