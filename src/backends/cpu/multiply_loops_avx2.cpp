#include <immintrin.h>

#include "backends/cpu/multiply_loops.h"

namespace mlxd {
namespace {

// A product of bytes as the kernels of this set form it: multiplied and added by pairs, summed in 16 bits.
// The barrier on `a` keeps the products, which are all alike, from being computed once.
inline __m256i add_product(__m256i sum, __m256i& a, __m256i b) {
  asm volatile("" : "+x"(a));
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
}

// The sums are named variables, not an array, which the compiler would keep on the stack. As many as the
// registers hold beside the factors cover the latencies.
void multiply_int8(std::int64_t iterations) {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  __m256i a = _mm256_set1_epi8(3);
  const __m256i b = _mm256_set1_epi8(-2);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = add_product(s0, a, b);
    s1 = add_product(s1, a, b);
    s2 = add_product(s2, a, b);
    s3 = add_product(s3, a, b);
    s4 = add_product(s4, a, b);
    s5 = add_product(s5, a, b);
    s6 = add_product(s6, a, b);
    s7 = add_product(s7, a, b);
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7));
  }
}

void multiply_fp32(std::int64_t iterations) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  __m256 s8 = s0, s9 = s0, s10 = s0, s11 = s0;
  const __m256 a = _mm256_set1_ps(1.0F);
  for (std::int64_t i = 0; i < iterations; ++i) {
    s0 = _mm256_fmadd_ps(a, a, s0);
    s1 = _mm256_fmadd_ps(a, a, s1);
    s2 = _mm256_fmadd_ps(a, a, s2);
    s3 = _mm256_fmadd_ps(a, a, s3);
    s4 = _mm256_fmadd_ps(a, a, s4);
    s5 = _mm256_fmadd_ps(a, a, s5);
    s6 = _mm256_fmadd_ps(a, a, s6);
    s7 = _mm256_fmadd_ps(a, a, s7);
    s8 = _mm256_fmadd_ps(a, a, s8);
    s9 = _mm256_fmadd_ps(a, a, s9);
    s10 = _mm256_fmadd_ps(a, a, s10);
    s11 = _mm256_fmadd_ps(a, a, s11);
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7));
    asm volatile("" : "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11));
  }
}

void read(const std::byte* data, std::size_t size) {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
  for (std::size_t i = 0; i + 128 <= size; i += 128) {
    const auto* line = reinterpret_cast<const __m256i*>(data + i);
    s0 = _mm256_xor_si256(s0, _mm256_loadu_si256(line));
    s1 = _mm256_xor_si256(s1, _mm256_loadu_si256(line + 1));
    s2 = _mm256_xor_si256(s2, _mm256_loadu_si256(line + 2));
    s3 = _mm256_xor_si256(s3, _mm256_loadu_si256(line + 3));
  }
  asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3));
}

}  // namespace

MultiplyLoops avx2_multiply_loops() {
  MultiplyLoops loops;
  loops.int8 = {multiply_int8, 8.0 * 32 * 2};
  loops.fp32 = {multiply_fp32, 12.0 * 8 * 2};
  loops.read = read;
  return loops;
}

}  // namespace mlxd
