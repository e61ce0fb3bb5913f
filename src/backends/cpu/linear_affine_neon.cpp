// Quantized products with NEON's dot product of signed bytes.
#include "backends/cpu/linear_affine_neon.h"

namespace mlxd {
namespace {

struct SignedDots {
  static constexpr bool kSignedOnly = true;

  template <Codes kCodes, int kFirst, int kLast, int kRows>
  static inline __attribute__((always_inline)) void add(const std::byte* codes, const int* q, int tile_rows,
                                                        int32x4_t (&dots)[kRows]) {
#pragma GCC unroll 8
    for (int step = kFirst; step < kLast; ++step) {
      uint8x16_t four = load_step<kCodes>(codes, step);
      if constexpr (kCodes == Codes::k8) four = veorq_u8(four, vdupq_n_u8(128));
      const int8x16_t w = vreinterpretq_s8_u8(four);
      const int8x16_t x = load_activations(q + step * tile_rows);
      dots[0] = vdotq_laneq_s32(dots[0], w, x, 0);
      if constexpr (kRows > 1) dots[1] = vdotq_laneq_s32(dots[1], w, x, 1);
      if constexpr (kRows > 2) dots[2] = vdotq_laneq_s32(dots[2], w, x, 2);
      if constexpr (kRows > 3) dots[3] = vdotq_laneq_s32(dots[3], w, x, 3);
    }
  }
};

}  // namespace

void affine_neon(const AffineTask& task) { run<SignedDots>(task); }

}  // namespace mlxd
