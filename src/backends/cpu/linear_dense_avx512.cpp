// Dense products with AVX-512: fp32 fused multiply-adds, lane = output row, two chains (even and odd k) per
// row.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kPrefetchBytes = 2048;

constexpr int kGroup = 32;  // features that share a scale of e4m3 numbers

template <ScalarType kType>
constexpr int kStepBytes = kBlock*(kType == ScalarType::kF32    ? 4
                                   : kType == ScalarType::kE4M3 ? 1
                                                                : 2);

template <ScalarType kType>
inline __m512 load_weights(const std::byte* p) {
  if constexpr (kType == ScalarType::kF32) return _mm512_load_ps(p);
  const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  if constexpr (kType == ScalarType::kF16) return _mm512_cvtph_ps(bits);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// Two features' e4m3 numbers, 2^8 times too small: sign, exponent and mantissa go where a half has them.
struct Pair {
  __m512 first, second;
};
inline Pair load_e4m3_pair(const std::byte* p) {
  const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i words = _mm512_slli_epi16(_mm512_cvtepi8_epi16(bytes), 7);
  const __m512i halves = _mm512_and_si512(words, _mm512_set1_epi16(static_cast<short>(0xBF80)));
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
          _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}

/// 16 scales of e8m0, times 2^8.
inline __m512 load_e8m0_scales(const std::byte* p) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i smallest = _mm512_set1_epi32(0x00400000);  // 2^-127, of exponent 0
  const __m512i bits = _mm512_max_epu32(_mm512_slli_epi32(bytes, 23), smallest);
  return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(256.0F));
}

/// Adds the products of two features to both chains.
template <int kRows>
inline __attribute__((always_inline)) void add_pair(__m512 w0, __m512 w1, const float* tile,
                                                    __m512 (&even)[kRows], __m512 (&odd)[kRows]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) even[r] = _mm512_fmadd_ps(w0, _mm512_set1_ps(tile[r]), even[r]);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) odd[r] = _mm512_fmadd_ps(w1, _mm512_set1_ps(tile[kRows + r]), odd[r]);
}

/// One block × kRows activation rows; `tile` is [num_features][kRows].
template <ScalarType kType, int kRows>
void product_tile(const DenseTask& task, const std::byte* weights, const float* tile, const float* bias,
                  float* y, __mmask16 mask) {
  __m512 even[kRows];
  __m512 odd[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = _mm512_setzero_ps();
  if constexpr (kType == ScalarType::kE4M3) {
    const std::byte* scales = weights + static_cast<std::ptrdiff_t>(task.num_features) * kBlock;
    for (int k = 0; k < task.num_features; k += kGroup) {
      const __m512 scale = load_e8m0_scales(scales);
      _mm_prefetch(scales + kPrefetchBytes / kGroup, _MM_HINT_T0);
      for (int i = 0; i < kGroup; i += 2) {
        if (i % 4 == 0) _mm_prefetch(weights + kPrefetchBytes, _MM_HINT_T0);
        const Pair pair = load_e4m3_pair(weights);
        add_pair<kRows>(_mm512_mul_ps(pair.first, scale), _mm512_mul_ps(pair.second, scale), tile, even, odd);
        weights += 2 * kBlock;
        tile += 2 * kRows;
      }
      scales += kBlock;
    }
  } else {
    for (int k = 0; k < task.num_features; k += 2) {
      _mm_prefetch(weights + kPrefetchBytes, _MM_HINT_T0);
      if constexpr (kType == ScalarType::kF32) _mm_prefetch(weights + kPrefetchBytes + 64, _MM_HINT_T0);
      add_pair<kRows>(load_weights<kType>(weights), load_weights<kType>(weights + kStepBytes<kType>), tile,
                      even, odd);
      weights += 2 * kStepBytes<kType>;
      tile += 2 * kRows;
    }
  }
  const __m512 b = bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(bias);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    __m512 sum = _mm512_add_ps(even[r], odd[r]);
    if (bias != nullptr) sum = _mm512_add_ps(sum, b);
    _mm512_mask_storeu_ps(y + r * task.y_stride, mask, sum);
  }
}

template <ScalarType kType>
void run(const DenseTask& task) {
  using Product = void (*)(const DenseTask&, const std::byte*, const float*, const float*, float*, __mmask16);
  constexpr Product kProducts[kTileRows + 1] = {
      nullptr,
      product_tile<kType, 1>,
      product_tile<kType, 2>,
      product_tile<kType, 3>,
      product_tile<kType, 4>,
      product_tile<kType, 5>,
      product_tile<kType, 6>,
      product_tile<kType, 7>,
      product_tile<kType, 8>,
  };
  const std::ptrdiff_t values_bytes = static_cast<std::ptrdiff_t>(task.num_features) * kStepBytes<kType>;
  const std::ptrdiff_t scales_bytes = (task.num_features / kGroup * kBlock + 63) / 64 * 64;
  const std::ptrdiff_t block_bytes = values_bytes + (kType == ScalarType::kE4M3 ? scales_bytes : 0);
  for (int block = 0; block < task.num_blocks; ++block) {
    const int lanes = block + 1 == task.num_blocks ? task.last_block_rows : kBlock;
    const auto mask = static_cast<__mmask16>((1U << static_cast<unsigned>(lanes)) - 1U);
    const float* bias = task.bias == nullptr ? nullptr : task.bias + block * kBlock;
    for (int row = 0; row < task.rows; row += kTileRows) {
      const int rows = task.rows - row < kTileRows ? task.rows - row : kTileRows;
      kProducts[rows](task, task.weights + block * block_bytes,
                      task.tiles + static_cast<std::ptrdiff_t>(row) * task.num_features, bias,
                      task.y + row * task.y_stride + block * kBlock, mask);
    }
  }
}

}  // namespace

void dense_avx512(const DenseTask& task) {
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
