// int8 quantization of activations with AVX-512: whole tiles of 8 rows a group at a time, lane = row for what
// each row has one of; the rows of a last, smaller tile one by one.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

struct Group {
  __m128i low, high;  // steps 0 … 3 and 4 … 7, a dword each
  float scale;
  float scaled_sum;
  int sums[2];  // of its halves
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
    group.sums[0] = group.sums[1] = 0;
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
  group.sums[0] = _mm512_reduce_add_epi32(q0);
  group.sums[1] = _mm512_reduce_add_epi32(q1);
  group.scaled_sum = group.scale * static_cast<float>(group.sums[0] + group.sums[1]);
  return group;
}

inline __attribute__((always_inline)) void store_group(const Group& group, int row, int tile_rows,
                                                       std::byte* record, std::int32_t* offsets) {
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
  if (offsets == nullptr) return;
  offsets[row] = -kE2M1Offset * (group.sums[0] + group.sums[1]);
  offsets[tile_rows + row] = -kE2M1Offset * group.sums[0];
  offsets[2 * tile_rows + row] = -kE2M1Offset * group.sums[1];
}

/// Lane r is the largest lane of v[r].
inline __attribute__((always_inline)) __m256i largest_lanes(const __m256i (&v)[8]) {
  __m256i pairs[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    pairs[i] = _mm256_max_epu32(_mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
  const __m256i low =
      _mm256_max_epu32(_mm256_unpacklo_epi64(pairs[0], pairs[1]), _mm256_unpackhi_epi64(pairs[0], pairs[1]));
  const __m256i high =
      _mm256_max_epu32(_mm256_unpacklo_epi64(pairs[2], pairs[3]), _mm256_unpackhi_epi64(pairs[2], pairs[3]));
  return _mm256_max_epu32(_mm256_permute2x128_si256(low, high, 0x20),
                          _mm256_permute2x128_si256(low, high, 0x31));
}

/// Lane r of v[i] and lane i of v[r] change places.
inline __attribute__((always_inline)) void transpose(__m256i (&v)[8]) {
  __m256i a[8];
  __m256i b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

/// One group of a whole tile.
void quantize_tile_group(const float* x, std::ptrdiff_t stride, std::byte* record, std::int32_t* offsets) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m256i largest[kTileRows];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    const __m512i x0 = _mm512_loadu_si512(x + r * stride);
    const __m512i x1 = _mm512_loadu_si512(x + r * stride + 16);
    const __m512i m = _mm512_max_epu32(_mm512_and_si512(x0, magnitude), _mm512_and_si512(x1, magnitude));
    largest[r] = _mm256_max_epu32(_mm512_castsi512_si256(m), _mm512_extracti64x4_epi64(m, 1));
  }
  const __m256i absmax_bits = largest_lanes(largest);
  const __m256 absmax = _mm256_castsi256_ps(absmax_bits);
  const __mmask8 finite = _mm256_cmplt_epu32_mask(absmax_bits, _mm256_set1_epi32(0x7F800000));
  const __mmask8 usual =
      _mm256_mask_cmp_ps_mask(finite, absmax, _mm256_set1_ps(kSmallestActivation), _CMP_GE_OQ);
  const __m256 full = _mm256_set1_ps(127.0F);
  const __m256 scale = _mm256_mask_div_ps(
      _mm256_maskz_mov_ps(static_cast<__mmask8>(~finite), _mm256_set1_ps(__builtin_nanf(""))), usual, absmax,
      full);
  alignas(32) float inverses[kTileRows];
  _mm256_store_ps(inverses, _mm256_maskz_div_ps(usual, full, absmax));

  // A NaN or infinity times 0 converts to the integer 0x80000000, whose low byte is 0 like the others of its
  // group.
  const __m256i order = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, 0, 2, 4, 6, 1,
                                         3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  __m256i steps[kTileRows];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    const __m512 inverse = _mm512_set1_ps(inverses[r]);
    const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + r * stride), inverse));
    const __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + r * stride + 16), inverse));
    steps[r] =
        _mm256_shuffle_epi8(_mm256_set_m128i(_mm512_cvtepi32_epi8(q1), _mm512_cvtepi32_epi8(q0)), order);
  }
  transpose(steps);
  __m256i halves[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 8
  for (int step = 0; step < kSteps; ++step) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(record) + step, steps[step]);
    halves[step / 4] = _mm256_dpbusd_epi32(halves[step / 4], _mm256_set1_epi8(1), steps[step]);
  }
  const __m256i sums = _mm256_add_epi32(halves[0], halves[1]);
  float* scales = reinterpret_cast<float*>(record + 32 * kTileRows);
  _mm256_storeu_ps(scales, scale);
  _mm256_storeu_ps(scales + kTileRows, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sums)));
  if (offsets == nullptr) return;
  const __m256i factor = _mm256_set1_epi32(-kE2M1Offset);
  __m256i* to = reinterpret_cast<__m256i*>(offsets);
  _mm256_storeu_si256(to, _mm256_mullo_epi32(sums, factor));
  _mm256_storeu_si256(to + 1, _mm256_mullo_epi32(halves[0], factor));
  _mm256_storeu_si256(to + 2, _mm256_mullo_epi32(halves[1], factor));
}

}  // namespace

void quantize_avx512(const QuantizeTask& task) {
  for (int first = 0; first < task.rows; first += kTileRows) {
    const int tile_rows = task.rows - first < kTileRows ? task.rows - first : kTileRows;
    for (int group = task.first_group; group < task.last_group; ++group) {
      const std::ptrdiff_t cell = static_cast<std::ptrdiff_t>(first) * task.num_groups +
                                  static_cast<std::ptrdiff_t>(group) * tile_rows;
      std::byte* record = task.tiles + cell * kRecordBytesPerRow;
      std::int32_t* offsets = task.offsets == nullptr ? nullptr : task.offsets + 3 * cell;
      if (tile_rows == kTileRows) {
        quantize_tile_group(task.x + first * task.stride + group * 32, task.stride, record, offsets);
        continue;
      }
      for (int row = 0; row < tile_rows; ++row) {
        store_group(quantize_group(task.x + (first + row) * task.stride + group * 32), row, tile_rows, record,
                    offsets);
      }
    }
  }
}

}  // namespace mlxd
