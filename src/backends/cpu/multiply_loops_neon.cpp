#include <arm_neon.h>

#include "backends/cpu/multiply_loops.h"

namespace mlxd {
namespace {

// Processors with four pipes need sixteen sums. They are named variables, not an array, which the compiler
// would keep on the stack.
void multiply_int8(std::int64_t iterations) {
  int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  int32x4_t s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
  const int8x16_t a = vdupq_n_s8(3);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = vdotq_s32(s0, a, a);
    s1 = vdotq_s32(s1, a, a);
    s2 = vdotq_s32(s2, a, a);
    s3 = vdotq_s32(s3, a, a);
    s4 = vdotq_s32(s4, a, a);
    s5 = vdotq_s32(s5, a, a);
    s6 = vdotq_s32(s6, a, a);
    s7 = vdotq_s32(s7, a, a);
    s8 = vdotq_s32(s8, a, a);
    s9 = vdotq_s32(s9, a, a);
    s10 = vdotq_s32(s10, a, a);
    s11 = vdotq_s32(s11, a, a);
    s12 = vdotq_s32(s12, a, a);
    s13 = vdotq_s32(s13, a, a);
    s14 = vdotq_s32(s14, a, a);
    s15 = vdotq_s32(s15, a, a);
    asm volatile("" : "+w"(s0), "+w"(s1), "+w"(s2), "+w"(s3), "+w"(s4), "+w"(s5), "+w"(s6), "+w"(s7));
    asm volatile("" : "+w"(s8), "+w"(s9), "+w"(s10), "+w"(s11), "+w"(s12), "+w"(s13), "+w"(s14), "+w"(s15));
  }
}

// BFDOT V0…V15.4S, V16.8H, V17.8H by their encodings: assemblers only know them with an option that would let
// the compiler use the extension everywhere in this file.
void multiply_bf16(std::int64_t iterations) {
  for (std::int64_t i = 0; i < iterations; ++i) {
    asm volatile(
        ".inst 0x6e51fe00; .inst 0x6e51fe01; .inst 0x6e51fe02; .inst 0x6e51fe03;"
        ".inst 0x6e51fe04; .inst 0x6e51fe05; .inst 0x6e51fe06; .inst 0x6e51fe07;"
        ".inst 0x6e51fe08; .inst 0x6e51fe09; .inst 0x6e51fe0a; .inst 0x6e51fe0b;"
        ".inst 0x6e51fe0c; .inst 0x6e51fe0d; .inst 0x6e51fe0e; .inst 0x6e51fe0f"
        :
        :
        : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",
          "v15");
  }
}

void multiply_fp32(std::int64_t iterations) {
  float32x4_t s0 = vdupq_n_f32(0.0F), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  float32x4_t s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
  const float32x4_t a = vdupq_n_f32(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = vfmaq_f32(s0, a, a);
    s1 = vfmaq_f32(s1, a, a);
    s2 = vfmaq_f32(s2, a, a);
    s3 = vfmaq_f32(s3, a, a);
    s4 = vfmaq_f32(s4, a, a);
    s5 = vfmaq_f32(s5, a, a);
    s6 = vfmaq_f32(s6, a, a);
    s7 = vfmaq_f32(s7, a, a);
    s8 = vfmaq_f32(s8, a, a);
    s9 = vfmaq_f32(s9, a, a);
    s10 = vfmaq_f32(s10, a, a);
    s11 = vfmaq_f32(s11, a, a);
    s12 = vfmaq_f32(s12, a, a);
    s13 = vfmaq_f32(s13, a, a);
    s14 = vfmaq_f32(s14, a, a);
    s15 = vfmaq_f32(s15, a, a);
    asm volatile("" : "+w"(s0), "+w"(s1), "+w"(s2), "+w"(s3), "+w"(s4), "+w"(s5), "+w"(s6), "+w"(s7));
    asm volatile("" : "+w"(s8), "+w"(s9), "+w"(s10), "+w"(s11), "+w"(s12), "+w"(s13), "+w"(s14), "+w"(s15));
  }
}

}  // namespace

MultiplyLoops neon_multiply_loops() {
  MultiplyLoops loops;
  loops.int8 = {multiply_int8, 16.0 * 16 * 2};
  loops.bf16 = {multiply_bf16, 16.0 * 8 * 2};
  loops.fp32 = {multiply_fp32, 16.0 * 4 * 2};
  return loops;
}

}  // namespace mlxd
