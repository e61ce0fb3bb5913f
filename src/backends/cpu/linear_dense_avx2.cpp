// Dense products with AVX2: fp32 fused multiply-adds, the block's 16 rows as two halves, two chains (even and
// odd k) per row, up to 3 activation rows at a time.
#include <immintrin.h>

#include "backends/cpu/linear_tasks.h"

namespace mlxd {
namespace {

constexpr int kBlock = 16;
constexpr int kLanes = 8;
constexpr int kRowsAtOnce = 3;
constexpr int kPrefetchBytes = 2048;

constexpr int kGroup = 32;  // features that share a scale of e4m3 numbers

template <ScalarType kType>
constexpr int kStepBytes = kBlock*(kType == ScalarType::kF32    ? 4
                                   : kType == ScalarType::kE4M3 ? 1
                                                                : 2);

template <ScalarType kType>
inline __m256 load_weights(const std::byte* p, int half) {
  if constexpr (kType == ScalarType::kF32)
    return _mm256_load_ps(reinterpret_cast<const float*>(p) + half * kLanes);
  const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(p + 2 * half * kLanes));
  if constexpr (kType == ScalarType::kF16) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/// 8 e4m3 numbers, 2^8 times too small: sign, exponent and mantissa go where a half has them.
inline __m256 load_e4m3(const std::byte* p, int half) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + half * kLanes));
  const __m128i words = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
  return _mm256_cvtph_ps(_mm_and_si128(words, _mm_set1_epi16(static_cast<short>(0xBF80))));
}

/// 8 scales of e8m0, times 2^8.
inline __m256 load_e8m0_scales(const std::byte* p, int half) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + half * kLanes));
  const __m256i smallest = _mm256_set1_epi32(0x00400000);  // 2^-127, of exponent 0
  const __m256i bits = _mm256_max_epu32(_mm256_slli_epi32(_mm256_cvtepu8_epi32(bytes), 23), smallest);
  return _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(256.0F));
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

template <int kRows>
inline __attribute__((always_inline)) void store_half(const Job& job, int half, const __m256 (&even)[kRows],
                                                      const __m256 (&odd)[kRows]) {
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(job.lanes - half * kLanes),
                                          _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
    __m256 sum = _mm256_add_ps(even[r], odd[r]);
    if (job.bias != nullptr) sum = _mm256_add_ps(sum, _mm256_loadu_ps(job.bias + half * kLanes));
    _mm256_maskstore_ps(job.y + r * job.y_stride + half * kLanes, mask, sum);
  }
}

/// Adds the products of one feature to its chain.
template <int kRows>
inline __attribute__((always_inline)) void add_feature(__m256 w0, __m256 w1, const float* x,
                                                       __m256 (&sums0)[kRows], __m256 (&sums1)[kRows]) {
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
    const __m256 value = _mm256_broadcast_ss(x + r);
    sums0[r] = _mm256_fmadd_ps(w0, value, sums0[r]);
    sums1[r] = _mm256_fmadd_ps(w1, value, sums1[r]);
  }
}

template <ScalarType kType, int kRows>
void product(const Job& job) {
  __m256 even0[kRows];
  __m256 even1[kRows];
  __m256 odd0[kRows];
  __m256 odd1[kRows];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) even0[r] = even1[r] = odd0[r] = odd1[r] = _mm256_setzero_ps();
  const std::byte* weights = job.weights;
  const float* x = job.tile;
  if constexpr (kType == ScalarType::kE4M3) {
    const std::byte* scales = weights + static_cast<std::ptrdiff_t>(job.num_features) * kBlock;
    for (int group = 0; group < job.num_features; group += kGroup) {
      const __m256 scale0 = load_e8m0_scales(scales, 0);
      const __m256 scale1 = load_e8m0_scales(scales, 1);
      _mm_prefetch(scales + kPrefetchBytes / kGroup, _MM_HINT_T0);
      for (int k = 0; k < kGroup; k += 2) {
        if (k % 4 == 0) _mm_prefetch(weights + kPrefetchBytes, _MM_HINT_T0);
        add_feature<kRows>(_mm256_mul_ps(load_e4m3(weights, 0), scale0),
                           _mm256_mul_ps(load_e4m3(weights, 1), scale1), x, even0, even1);
        add_feature<kRows>(_mm256_mul_ps(load_e4m3(weights + kBlock, 0), scale0),
                           _mm256_mul_ps(load_e4m3(weights + kBlock, 1), scale1), x + job.tile_rows, odd0,
                           odd1);
        weights += 2 * kBlock;
        x += 2 * job.tile_rows;
      }
      scales += kBlock;
    }
  } else {
    for (int k = 0; k < job.num_features; k += 2) {
      _mm_prefetch(weights + kPrefetchBytes, _MM_HINT_T0);
      if constexpr (kType == ScalarType::kF32) _mm_prefetch(weights + kPrefetchBytes + 64, _MM_HINT_T0);
      add_feature<kRows>(load_weights<kType>(weights, 0), load_weights<kType>(weights, 1), x, even0, even1);
      add_feature<kRows>(load_weights<kType>(weights + kStepBytes<kType>, 0),
                         load_weights<kType>(weights + kStepBytes<kType>, 1), x + job.tile_rows, odd0, odd1);
      weights += 2 * kStepBytes<kType>;
      x += 2 * job.tile_rows;
    }
  }
  store_half<kRows>(job, 0, even0, odd0);
  store_half<kRows>(job, 1, even1, odd1);
}

inline int at_most(int value, int limit) { return value < limit ? value : limit; }

template <ScalarType kType>
void run(const DenseTask& task) {
  using Product = void (*)(const Job&);
  constexpr Product kProducts[kRowsAtOnce + 1] = {nullptr, product<kType, 1>, product<kType, 2>,
                                                  product<kType, 3>};
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

void dense_avx2(const DenseTask& task) {
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
