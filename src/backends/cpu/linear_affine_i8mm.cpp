// Quantized products with NEON's products of 2 × 8 by 8 × 2 matrices of bytes (FEAT_I8MM): two steps of two
// block rows meet those of two activation rows. One activation row alone takes dot products.
#include "backends/cpu/linear_affine_neon.h"

namespace mlxd {
namespace {

struct MatrixDots {
  static constexpr bool kSignedOnly = false;

  template <Codes kCodes, int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add(const std::byte* codes, const int* q, int tile_rows,
                                                        int32x4_t (&dots)[kRows]) {
    if constexpr (kRows == 1) {
#pragma GCC unroll 8
      for (int step = kFirst; step < kLast; ++step) {
        dots[0] =
            dot<kCodes>(dots[0], load_step<kCodes>(codes, step), load_activations(q + step * tile_rows));
      }
    } else {
      constexpr int kPairs = (kRows + 1) / 2;  // of activation rows
      int32x4_t sums[2][kPairs];               // by pairs of block rows: rows × activation rows
      for (int pair = 0; pair < kPairs; ++pair) sums[0][pair] = sums[1][pair] = vdupq_n_s32(0);
#pragma GCC unroll 4
      for (int step = kFirst; step < kLast; step += 2) {
        const uint32x4_t even = vreinterpretq_u32_u8(load_step<kCodes>(codes, step));
        const uint32x4_t odd = vreinterpretq_u32_u8(load_step<kCodes>(codes, step + 1));
        const uint8x16_t w[2] = {vreinterpretq_u8_u32(vzip1q_u32(even, odd)),
                                 vreinterpretq_u8_u32(vzip2q_u32(even, odd))};
        const int32x4_t x_even = vld1q_s32(q + step * tile_rows);
        const int32x4_t x_odd = vld1q_s32(q + (step + 1) * tile_rows);
        const int8x16_t x[2] = {vreinterpretq_s8_s32(vzip1q_s32(x_even, x_odd)),
                                vreinterpretq_s8_s32(vzip2q_s32(x_even, x_odd))};
        for (int pair = 0; pair < kPairs; ++pair) {
          sums[0][pair] = multiply<kCodes>(sums[0][pair], w[0], x[pair]);
          sums[1][pair] = multiply<kCodes>(sums[1][pair], w[1], x[pair]);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        const int32x4_t upper = sums[0][r / 2];
        const int32x4_t lower = sums[1][r / 2];
        dots[r] = vaddq_s32(dots[r], r % 2 == 0 ? vuzp1q_s32(upper, lower) : vuzp2q_s32(upper, lower));
      }
    }
  }

 private:
  template <Codes kCodes>
  static inline __attribute__((always_inline)) int32x4_t dot(int32x4_t sum, uint8x16_t w, int8x16_t x) {
    if constexpr (kCodes == Codes::kE2M1) return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w), x, 0);
    return vusdotq_laneq_s32(sum, w, x, 0);
  }
  template <Codes kCodes>
  static inline __attribute__((always_inline)) int32x4_t multiply(int32x4_t sum, uint8x16_t w, int8x16_t x) {
    if constexpr (kCodes == Codes::kE2M1) return vmmlaq_s32(sum, vreinterpretq_s8_u8(w), x);
    return vusmmlaq_s32(sum, w, x);
  }
};

}  // namespace

void affine_i8mm(const AffineTask& task) { run<MatrixDots>(task); }

}  // namespace mlxd
