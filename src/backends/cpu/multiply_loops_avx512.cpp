#include <immintrin.h>

#include "backends/cpu/multiply_loops.h"

namespace mlxd {
namespace {

// Intel needs ten sums and more: a latency of 5 cycles and more at two instructions a cycle. They are named
// variables, not an array, which the compiler would keep on the stack.
void multiply_int8(std::int64_t iterations) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  __m512i s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(-2);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm512_dpbusd_epi32(s0, a, b);
    s1 = _mm512_dpbusd_epi32(s1, a, b);
    s2 = _mm512_dpbusd_epi32(s2, a, b);
    s3 = _mm512_dpbusd_epi32(s3, a, b);
    s4 = _mm512_dpbusd_epi32(s4, a, b);
    s5 = _mm512_dpbusd_epi32(s5, a, b);
    s6 = _mm512_dpbusd_epi32(s6, a, b);
    s7 = _mm512_dpbusd_epi32(s7, a, b);
    s8 = _mm512_dpbusd_epi32(s8, a, b);
    s9 = _mm512_dpbusd_epi32(s9, a, b);
    s10 = _mm512_dpbusd_epi32(s10, a, b);
    s11 = _mm512_dpbusd_epi32(s11, a, b);
    s12 = _mm512_dpbusd_epi32(s12, a, b);
    s13 = _mm512_dpbusd_epi32(s13, a, b);
    s14 = _mm512_dpbusd_epi32(s14, a, b);
    s15 = _mm512_dpbusd_epi32(s15, a, b);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7));
    asm volatile("" : "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11), "+v"(s12), "+v"(s13), "+v"(s14), "+v"(s15));
  }
}

__attribute__((target("avx512bf16"))) void multiply_bf16(std::int64_t iterations) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  __m512 s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1.0F), _mm512_set1_ps(1.0F));
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm512_dpbf16_ps(s0, a, a);
    s1 = _mm512_dpbf16_ps(s1, a, a);
    s2 = _mm512_dpbf16_ps(s2, a, a);
    s3 = _mm512_dpbf16_ps(s3, a, a);
    s4 = _mm512_dpbf16_ps(s4, a, a);
    s5 = _mm512_dpbf16_ps(s5, a, a);
    s6 = _mm512_dpbf16_ps(s6, a, a);
    s7 = _mm512_dpbf16_ps(s7, a, a);
    s8 = _mm512_dpbf16_ps(s8, a, a);
    s9 = _mm512_dpbf16_ps(s9, a, a);
    s10 = _mm512_dpbf16_ps(s10, a, a);
    s11 = _mm512_dpbf16_ps(s11, a, a);
    s12 = _mm512_dpbf16_ps(s12, a, a);
    s13 = _mm512_dpbf16_ps(s13, a, a);
    s14 = _mm512_dpbf16_ps(s14, a, a);
    s15 = _mm512_dpbf16_ps(s15, a, a);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7));
    asm volatile("" : "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11), "+v"(s12), "+v"(s13), "+v"(s14), "+v"(s15));
  }
}

void multiply_fp32(std::int64_t iterations) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  __m512 s8 = s0, s9 = s0, s10 = s0, s11 = s0, s12 = s0, s13 = s0, s14 = s0, s15 = s0;
  const __m512 a = _mm512_set1_ps(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm512_fmadd_ps(a, a, s0);
    s1 = _mm512_fmadd_ps(a, a, s1);
    s2 = _mm512_fmadd_ps(a, a, s2);
    s3 = _mm512_fmadd_ps(a, a, s3);
    s4 = _mm512_fmadd_ps(a, a, s4);
    s5 = _mm512_fmadd_ps(a, a, s5);
    s6 = _mm512_fmadd_ps(a, a, s6);
    s7 = _mm512_fmadd_ps(a, a, s7);
    s8 = _mm512_fmadd_ps(a, a, s8);
    s9 = _mm512_fmadd_ps(a, a, s9);
    s10 = _mm512_fmadd_ps(a, a, s10);
    s11 = _mm512_fmadd_ps(a, a, s11);
    s12 = _mm512_fmadd_ps(a, a, s12);
    s13 = _mm512_fmadd_ps(a, a, s13);
    s14 = _mm512_fmadd_ps(a, a, s14);
    s15 = _mm512_fmadd_ps(a, a, s15);
    asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7));
    asm volatile("" : "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11), "+v"(s12), "+v"(s13), "+v"(s14), "+v"(s15));
  }
}

void read(const std::byte* data, std::size_t size) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  for (std::size_t i = 0; i + 256 <= size; i += 256) {
    s0 = _mm512_xor_si512(s0, _mm512_loadu_si512(data + i));
    s1 = _mm512_xor_si512(s1, _mm512_loadu_si512(data + i + 64));
    s2 = _mm512_xor_si512(s2, _mm512_loadu_si512(data + i + 128));
    s3 = _mm512_xor_si512(s3, _mm512_loadu_si512(data + i + 192));
  }
  asm volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3));
}

// Eight tiles of 16 rows of 64 bytes (Intel's architecture instruction set extensions, LDTILECFG).
struct TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// Four sums, a latency of 52 cycles at one product in 16.
__attribute__((target("amx-tile,amx-int8"))) void multiply_int8_tiles(std::int64_t iterations) {
  const TileConfig config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  asm volatile(
      "tilezero %tmm0; tilezero %tmm1; tilezero %tmm2; tilezero %tmm3; tilezero %tmm4; tilezero %tmm5");
  for (std::int64_t i = 0; i < iterations; ++i) {
    asm volatile(
        "tdpbssd %tmm5, %tmm4, %tmm0; tdpbssd %tmm5, %tmm4, %tmm1;"
        "tdpbssd %tmm5, %tmm4, %tmm2; tdpbssd %tmm5, %tmm4, %tmm3");
  }
  asm volatile("tilerelease");
}

__attribute__((target("amx-tile,amx-bf16"))) void multiply_bf16_tiles(std::int64_t iterations) {
  const TileConfig config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  asm volatile(
      "tilezero %tmm0; tilezero %tmm1; tilezero %tmm2; tilezero %tmm3; tilezero %tmm4; tilezero %tmm5");
  for (std::int64_t i = 0; i < iterations; ++i) {
    asm volatile(
        "tdpbf16ps %tmm5, %tmm4, %tmm0; tdpbf16ps %tmm5, %tmm4, %tmm1;"
        "tdpbf16ps %tmm5, %tmm4, %tmm2; tdpbf16ps %tmm5, %tmm4, %tmm3");
  }
  asm volatile("tilerelease");
}

}  // namespace

MultiplyLoops avx512_multiply_loops() {
  MultiplyLoops loops;
  loops.int8 = {multiply_int8, 16.0 * 64 * 2};
  loops.bf16 = {multiply_bf16, 16.0 * 32 * 2};
  loops.fp32 = {multiply_fp32, 16.0 * 16 * 2};
  loops.int8_matrix = {multiply_int8_tiles, 4.0 * 16 * 16 * 64 * 2};
  loops.bf16_matrix = {multiply_bf16_tiles, 4.0 * 16 * 16 * 32 * 2};
  loops.read = read;
  return loops;
}

}  // namespace mlxd
