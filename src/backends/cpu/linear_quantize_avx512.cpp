// int8 quantization of activations with AVX-512.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

struct Group {
  __m128i low, high;  // steps 0 … 3 and 4 … 7, a dword each
  float scale;
  float scaled_sum;
};

inline __attribute__((always_inline)) Group quantize_group(const float* x) {
  const __m512 x0 = _mm512_loadu_ps(x);
  const __m512 x1 = _mm512_loadu_ps(x + 16);
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i largest = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                           _mm512_and_si512(_mm512_castps_si512(x1), magnitude));
  const unsigned absmax_bits = _mm512_reduce_max_epu32(largest);
  const float absmax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(absmax_bits))));
  Group group;
  if (absmax_bits >= 0x7F800000U || absmax < kSmallestActivation) {
    const bool finite = absmax_bits < 0x7F800000U;
    group.low = group.high = _mm_setzero_si128();
    group.scale = group.scaled_sum = finite ? 0.0F : __builtin_nanf("");
    return group;
  }
  const __m512 inverse = _mm512_set1_ps(127.0F / absmax);
  const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse));
  const __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse));
  // In each 8: 0 2 4 6, then 1 3 5 7.
  const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  group.low = _mm_shuffle_epi8(_mm512_cvtepi32_epi8(q0), order);
  group.high = _mm_shuffle_epi8(_mm512_cvtepi32_epi8(q1), order);
  group.scale = absmax / 127.0F;
  group.scaled_sum = group.scale * static_cast<float>(_mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1)));
  return group;
}

inline __attribute__((always_inline)) void store_group(const Group& group, int row, int tile_rows,
                                                       std::byte* record) {
  int* q = reinterpret_cast<int*>(record) + row;
  q[0] = _mm_extract_epi32(group.low, 0);
  q[tile_rows] = _mm_extract_epi32(group.low, 1);
  q[2 * tile_rows] = _mm_extract_epi32(group.low, 2);
  q[3 * tile_rows] = _mm_extract_epi32(group.low, 3);
  q[4 * tile_rows] = _mm_extract_epi32(group.high, 0);
  q[5 * tile_rows] = _mm_extract_epi32(group.high, 1);
  q[6 * tile_rows] = _mm_extract_epi32(group.high, 2);
  q[7 * tile_rows] = _mm_extract_epi32(group.high, 3);
  float* scales = reinterpret_cast<float*>(record + 32 * tile_rows) + row;
  scales[0] = group.scale;
  scales[tile_rows] = group.scaled_sum;
}

}  // namespace

void quantize_avx512(const QuantizeTask& task) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = task.rows - first < kTileRows ? task.rows - first : kTileRows;
    std::byte* tile = task.tiles + static_cast<std::ptrdiff_t>(first) * kRecordBytesPerRow * task.num_groups;
    for (int group = task.first_group; group < task.last_group; ++group) {
      std::byte* record = tile + static_cast<std::ptrdiff_t>(group) * kRecordBytesPerRow * tile_rows;
      for (int row = 0; row < tile_rows; ++row) {
        store_group(quantize_group(task.x + (first + row) * task.stride + group * 32), row, tile_rows,
                    record);
      }
    }
  }
}

}  // namespace mlxd
