// Quantized products with AVX-VNNI, the 256-bit dot product of unsigned and signed bytes.
#include "backends/cpu/linear_affine_ymm.h"

namespace mlxd {
namespace {

struct VnniDots {
  template <Codes kCodes, int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add(const std::byte* codes, const int* q, int tile_rows,
                                                        __m256i (&dots)[kRows]) {
#pragma GCC unroll 8
    for (int step = kFirst; step < kLast; ++step) {
      const __m256i four = load_step<kCodes>(codes, step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        dots[r] = _mm256_dpbusd_avx_epi32(dots[r], four, _mm256_set1_epi32(q[step * tile_rows + r]));
        settle(dots[r]);
      }
    }
  }
};

}  // namespace

void affine_avxvnni(const AffineTask& task) { run<VnniDots>(task); }

}  // namespace mlxd
