// Quantized products with AVX2: products of unsigned codes and int8 are summed in pairs to int16, and these
// as long as they cannot overflow, before they go to int32. Codes of 8 bits are taken as two nibbles.
#include "backends/cpu/linear_affine_ymm.h"

namespace mlxd {
namespace {

struct MaddDots {
  template <Codes kCodes, int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add(const std::byte* codes, const int* q, int tile_rows,
                                                        __m256i (&dots)[kRows]) {
    if constexpr (kCodes == Codes::k8) {
      add_nibbles<kFirst, kLast, kRows>(codes, q, tile_rows, dots);
    } else {
      // Sums of this many steps stay within int16: each adds two products of at most largest × 128.
      constexpr int kFit = 32767 / (2 * largest_of(kCodes) * 128);
      constexpr int kChain = kFit >= 8 ? 8 : kFit >= 4 ? 4 : 2;
      static_assert(kFit >= 2);
      if constexpr (kLast - kFirst > kChain) {
        add<kCodes, kFirst, kFirst + kChain, kRows>(codes, q, tile_rows, dots);
        add<kCodes, kFirst + kChain, kLast, kRows>(codes, q, tile_rows, dots);
      } else {
        add_chain<kCodes, kFirst, kLast, kRows>(codes, q, tile_rows, dots);
      }
    }
  }

 private:
  template <Codes kCodes, int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add_chain(const std::byte* codes, const int* q,
                                                              int tile_rows, __m256i (&dots)[kRows]) {
    __m256i sums[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) sums[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int step = kFirst; step < kLast; ++step) {
      const __m256i four = load_step<kCodes>(codes, step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i pairs = _mm256_maddubs_epi16(four, _mm256_set1_epi32(q[step * tile_rows + r]));
        sums[r] = _mm256_add_epi16(sums[r], pairs);
        settle(sums[r]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(sums[r], _mm256_set1_epi16(1)));
    }
  }

  template <int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add_nibbles(const std::byte* codes, const int* q,
                                                                int tile_rows, __m256i (&dots)[kRows]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low[kRows];
    __m256i high[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int step = kFirst; step < kLast; ++step) {
      const __m256i bytes = load_step<Codes::k8>(codes, step);
      const __m256i low_nibbles = _mm256_and_si256(bytes, nibble);
      const __m256i high_nibbles = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i four = _mm256_set1_epi32(q[step * tile_rows + r]);
        low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(low_nibbles, four));
        settle(low[r]);
        high[r] = _mm256_add_epi16(high[r], _mm256_maddubs_epi16(high_nibbles, four));
        settle(high[r]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(low[r], _mm256_set1_epi16(1)));
      dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(high[r], _mm256_set1_epi16(16)));
    }
  }
};

}  // namespace

void affine_avx2(const AffineTask& task) { run<MaddDots>(task); }

}  // namespace mlxd
