// Dense products with AVX-512: fp32 fused multiply-adds, lane = output row, two chains (even and odd k) per
// row.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kPrefetchBytes = 2048;

template <ScalarType kType>
constexpr int kStepBytes = kBlock*(kType == ScalarType::kF32 ? 4 : 2);

template <ScalarType kType>
inline __m512 load_weights(const std::byte* p) {
  if constexpr (kType == ScalarType::kF32) return _mm512_load_ps(p);
  const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  if constexpr (kType == ScalarType::kF16) return _mm512_cvtph_ps(bits);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// One block × kRows activation rows; `tile` is [num_features][kRows].
template <ScalarType kType, int kRows>
void product_tile(const DenseTask& task, const std::byte* weights, const float* tile, const float* bias,
                  float* y, __mmask16 mask) {
  __m512 even[kRows];
  __m512 odd[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = _mm512_setzero_ps();
  for (int k = 0; k < task.num_features; k += 2) {
    _mm_prefetch(weights + kPrefetchBytes, _MM_HINT_T0);
    if constexpr (kType == ScalarType::kF32) _mm_prefetch(weights + kPrefetchBytes + 64, _MM_HINT_T0);
    const __m512 w0 = load_weights<kType>(weights);
    const __m512 w1 = load_weights<kType>(weights + kStepBytes<kType>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) even[r] = _mm512_fmadd_ps(w0, _mm512_set1_ps(tile[r]), even[r]);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) odd[r] = _mm512_fmadd_ps(w1, _mm512_set1_ps(tile[kRows + r]), odd[r]);
    weights += 2 * kStepBytes<kType>;
    tile += 2 * kRows;
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
  const std::ptrdiff_t block_bytes = static_cast<std::ptrdiff_t>(task.num_features) * kStepBytes<kType>;
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
  }
}

}  // namespace mlxd
