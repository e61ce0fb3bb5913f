// int8 quantization of activations for the tile instructions, with AVX-512: a group of a whole tile at a
// time, lane = row for what each row has one of.
#include <immintrin.h>

#include "backends/cpu/linear_amx.h"

namespace mlxd {
namespace {

struct Largest {
  static __m512i of(__m512i a, __m512i b) { return _mm512_max_epu32(a, b); }
};
struct Sum {
  static __m512i of(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
};

/// Lane r is all lanes of v[r] taken together.
template <typename Together>
inline __attribute__((always_inline)) __m512i together(const __m512i (&v)[16]) {
  __m512i pairs[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    pairs[i] = Together::of(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                            _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  }
  __m512i fours[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    fours[i] = Together::of(_mm512_unpacklo_epi64(pairs[2 * i], pairs[2 * i + 1]),
                            _mm512_unpackhi_epi64(pairs[2 * i], pairs[2 * i + 1]));
  }
  // Four rows in each 128 bits of a vector; now the quarters.
  const auto quarters = [](__m512i a, __m512i b) __attribute__((always_inline)) {
    return Together::of(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
  };
  return quarters(quarters(fours[0], fours[1]), quarters(fours[2], fours[3]));
}

/// One group of the `rows` rows of a tile.
void quantize_group(const float* x, std::ptrdiff_t stride, int rows, std::byte* record) {
  // Rows past the last are the last one again; they are not stored.
  const auto row_of = [&](int row) __attribute__((always_inline)) {
    return x + (row < rows ? row : rows - 1) * stride;
  };
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i lanes[kAmxTileRows];
#pragma GCC unroll 16
  for (int r = 0; r < kAmxTileRows; ++r) {
    const __m512i x0 = _mm512_loadu_si512(row_of(r));
    const __m512i x1 = _mm512_loadu_si512(row_of(r) + 16);
    lanes[r] = _mm512_max_epu32(_mm512_and_si512(x0, magnitude), _mm512_and_si512(x1, magnitude));
  }
  const __m512i absmax_bits = together<Largest>(lanes);
  const __m512 absmax = _mm512_castsi512_ps(absmax_bits);
  const __mmask16 finite = _mm512_cmplt_epu32_mask(absmax_bits, _mm512_set1_epi32(0x7F800000));
  const __mmask16 usual =
      _mm512_mask_cmp_ps_mask(finite, absmax, _mm512_set1_ps(kSmallestActivation), _CMP_GE_OQ);
  const __m512 full = _mm512_set1_ps(127.0F);
  const __m512 scale = _mm512_mask_div_ps(
      _mm512_maskz_mov_ps(static_cast<__mmask16>(~finite), _mm512_set1_ps(__builtin_nanf(""))), usual, absmax,
      full);
  alignas(64) float inverses[kAmxTileRows];
  _mm512_store_ps(inverses, _mm512_maskz_div_ps(usual, full, absmax));

  // A NaN or infinity times 0 converts to the integer 0x80000000, whose low byte is 0 like the others of its
  // group; its sum means nothing, but is multiplied with the scale, a NaN.
  const __m256i order = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15, 0, 2, 4, 6, 1,
                                         3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
#pragma GCC unroll 16
  for (int r = 0; r < kAmxTileRows; ++r) {
    const __m512 inverse = _mm512_set1_ps(inverses[r]);
    const __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(row_of(r)), inverse));
    const __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(row_of(r) + 16), inverse));
    lanes[r] = _mm512_add_epi32(q0, q1);
    const __m256i bytes = _mm256_set_m128i(_mm512_cvtepi32_epi8(q1), _mm512_cvtepi32_epi8(q0));
    if (r < rows) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(record) + r, _mm256_shuffle_epi8(bytes, order));
    }
  }
  const __m512 sum = _mm512_cvtepi32_ps(together<Sum>(lanes));
  const auto mask = static_cast<__mmask16>((1U << static_cast<unsigned>(rows)) - 1U);
  auto* scales = reinterpret_cast<float*>(record + 32 * rows);
  _mm512_mask_storeu_ps(scales, mask, scale);
  _mm512_mask_storeu_ps(scales + rows, mask, _mm512_mul_ps(scale, sum));
}

}  // namespace

void quantize_amx(const QuantizeTask& task) {
  if (!has_amx_tiles(task.rows, task.offsets)) return quantize_avx512(task);
  for (int first = 0; first < task.rows; first += kAmxTileRows) {
    const int rows = task.rows - first < kAmxTileRows ? task.rows - first : kAmxTileRows;
    std::byte* tile = task.tiles + static_cast<std::ptrdiff_t>(first) * kRecordBytesPerRow * task.num_groups;
    for (int group = task.first_group; group < task.last_group; ++group) {
      quantize_group(task.x + first * task.stride + group * 32, task.stride, rows,
                     tile + static_cast<std::ptrdiff_t>(group) * kRecordBytesPerRow * rows);
    }
  }
}

}  // namespace mlxd
